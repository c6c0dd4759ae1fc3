// What the browser does by itself: it remembers the session, writes the address, finds a field.
window.dash_clientside = window.dash_clientside || {};
(function () {
  const KEY = "pricing-lab";
  const held = (name) => {
    try { return window.localStorage.getItem(name); } catch (e) { return null; }
  };
  const keep = (name, value) => {
    try { window.localStorage.setItem(name, value); } catch (e) { /* a browser that keeps nothing */ }
  };
  // Dash puts the caret back after every answer; a slider has none, and Chromium complains
  const caret = HTMLInputElement.prototype.setSelectionRange;
  HTMLInputElement.prototype.setSelectionRange = function (...at) {
    if (this.type !== "range") { caret.apply(this, at); }
  };
  const none = () => window.dash_clientside.no_update;
  window.dash_clientside.lab = {
    boot: function (href, study, clicks, fallback, now) {
      const ids = (window.dash_clientside.callback_context.triggered || []).map((t) => t.prop_id);
      if (now) {
        if (ids.includes("language.n_clicks")) {
          const lang = now.lang === "zh" ? "en" : "zh";
          document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en";
          const saved = now.study ? held(KEY + ":" + now.study) : null;
          keep(KEY + "-lang", lang);
          return [{ ...now, lang: lang, saved: saved, change: null }, none()];
        }
        if (study && study !== now.study) {
          return [{ ...now, study: study, saved: held(KEY + ":" + study), change: null }, none()];
        }
        return [none(), none()];
      }
      const asked = new URLSearchParams(window.location.search);
      if (asked.has("token")) {  // the cookie holds it from here on: not in the history, nor on a screenshot
        asked.delete("token");
        const rest = asked.toString();
        window.history.replaceState(window.history.state, "", window.location.pathname + (rest ? "?" + rest : "") + window.location.hash);
      }
      const hash = new URLSearchParams(window.location.hash.slice(1));
      const lang = asked.get("lang") || held(KEY + "-lang") || (/^zh/i.test(navigator.language) ? "zh" : "en");
      const name = asked.get("study") || fallback || "";
      document.documentElement.lang = lang === "zh" ? "zh-Hans" : "en";
      const boot = { study: name, lang: lang, saved: name ? held(KEY + ":" + name) : null, change: hash.get("c") };
      return [boot, name || none()];
    },
    persist: function (state) {
      if (!state) { return none(); }
      keep(KEY + ":" + state.study, state.session);
      keep(KEY + "-lang", state.lang);
      const change = JSON.stringify(JSON.parse(state.session).change);
      const tail = change.length < 4000 ? "#c=" + encodeURIComponent(change) : "";
      const address = "?study=" + encodeURIComponent(state.study) + "&lang=" + state.lang + tail;
      window.history.replaceState(window.history.state, "", window.location.pathname + address);
      return none();
    },
    find: function (text) {
      const wanted = (text || "").trim().toLowerCase();
      document.querySelectorAll("#fields details").forEach((group) => {
        const head = group.querySelector("summary").textContent.toLowerCase();
        let any = false;
        group.querySelectorAll(".field").forEach((field) => {
          const label = field.querySelector("label").textContent.toLowerCase();
          const hit = !wanted || head.includes(wanted) || label.includes(wanted) || (field.dataset.key || "").includes(wanted);
          field.hidden = !hit;
          any = any || hit;
        });
        group.hidden = !any;
        if (wanted && any) { group.open = true; }
      });
      return wanted ? "searched" : "";
    },
  };
})();
