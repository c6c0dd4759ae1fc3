const root = document.documentElement;

// plotly.js is in the page, packed; figures are drawn once, when they come near the window.
async function unpacked() {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = document.createElement("script");
  code.textContent = await new Response(stream).text();
  document.head.append(code);
}
const style = JSON.parse(document.getElementById("style").textContent);
const config = { displaylogo: false, responsive: true, displayModeBar: false };
function draw(place) {
  if (place.classList.contains("js-plotly-plot")) return;
  const { data, layout } = JSON.parse(place.nextElementSibling.textContent);
  Plotly.newPlot(place, data, { template: style, ...layout }, config);
}
const figures = [...document.querySelectorAll(".plotly-graph-div")];
unpacked().then(() => {
  const near = new IntersectionObserver(
    (seen) => seen.filter((one) => one.isIntersecting).forEach((one) => { near.unobserve(one.target); draw(one.target); }),
    { rootMargin: "600px" },
  );
  figures.forEach((figure) => near.observe(figure));
  window.addEventListener("beforeprint", () => figures.filter((figure) => figure.offsetParent).forEach(draw));
});

function show(lang) {
  root.dataset.lang = lang;
  root.lang = lang === "zh" ? "zh-Hans" : lang;
}
document.getElementById("language").addEventListener("click", () => show(root.dataset.lang === "en" ? "zh" : "en"));
show(location.hash === "#zh" || (!location.hash && navigator.language.startsWith("zh")) ? "zh" : "en");
