const root = document.documentElement;
const asked = new URLSearchParams(location.search);
const printed = asked.get("print"); // a language: the page as it goes to paper, all of it at once

if (printed) root.dataset.print = printed;

// Choices outlast the page where the browser lets them.
function kept(name) {
  try { return localStorage.getItem(`pricing.${name}`); } catch { return null; }
}
function keep(name, value) {
  try { localStorage.setItem(`pricing.${name}`, value); } catch { /* a private window */ }
}

const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
function wear(theme) {
  root.dataset.theme = theme;
  document.dispatchEvent(new Event("theme"));
}
system.addEventListener("change", () => { if (!kept("theme")) wear(system.matches ? "dark" : "light"); });
document.getElementById("theme").addEventListener("click", () => {
  wear(isDark() ? "light" : "dark");
  keep("theme", root.dataset.theme);
});
wear(printed ? "light" : asked.get("theme") || kept("theme") || (system.matches ? "dark" : "light"));

function show(lang) {
  root.dataset.lang = lang;
  root.lang = lang === "zh" ? "zh-Hans" : lang;
  document.title = document.querySelector(`h1 .${lang}`).textContent;
}
document.getElementById("language").addEventListener("click", () => {
  show(root.dataset.lang === "en" ? "zh" : "en");
  keep("language", root.dataset.lang);
});
const spoken = [printed, location.hash.slice(1), asked.get("lang"), kept("language"), navigator.language.slice(0, 2)];
show(spoken.find((lang) => lang === "zh" || lang === "en") || "en");

// On paper everything is unfolded; afterwards it is as it was.
let folded = [];
function unfold() {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => { one.open = true; });
}
window.addEventListener("beforeprint", unfold);
window.addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
