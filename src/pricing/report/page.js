const root = document.documentElement;
function show(lang) {
  root.dataset.lang = lang;
  root.lang = lang === "zh" ? "zh-Hans" : lang;
  document.querySelectorAll("." + lang + " .plotly-graph-div").forEach((figure) => Plotly.Plots.resize(figure));
}
document.getElementById("language").addEventListener("click", () => show(root.dataset.lang === "en" ? "zh" : "en"));
show(location.hash === "#zh" || (!location.hash && navigator.language.startsWith("zh")) ? "zh" : "en");
