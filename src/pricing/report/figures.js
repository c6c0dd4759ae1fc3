// plotly.js is in the page, packed; figures are drawn once, when they come near the window.
const PAPER = 672; // width of the printed page inside its margins, in pixels
const SHEET = 760; // most height of a figure there, so that its heading stands above it
const BRIEF = 300; // height of a figure beside the decision
const BRIEF_PAPER = 250; // two of them to a page
const LOWER = 0.72; // of its height keeps a figure on paper, so that pages fill
async function unpacked() {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = document.createElement("script");
  code.textContent = await new Response(stream).text();
  document.head.append(code);
}
const style = JSON.parse(document.getElementById("style").textContent);
const dark = JSON.parse(document.getElementById("dark").textContent);
const config = { displaylogo: false, responsive: true, displayModeBar: false };

// A colour of the dark page for one of the light page; how much shines through stays.
function darker(colour) {
  const plain = colour.toLowerCase().replace(/\s/g, "");
  if (dark[plain]) return dark[plain];
  const parts = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(plain);
  if (!parts) return colour;
  const hex = (n) => Number(n).toString(16).padStart(2, "0");
  const other = dark[`#${parts.slice(1, 4).map(hex).join("")}`];
  if (!other || parts[4] === "0") return colour;
  const [red, green, blue] = [1, 3, 5].map((n) => parseInt(other.slice(n, n + 2), 16));
  return `rgba(${red},${green},${blue},${parts[4]})`;
}
// Only what stands under a key named after colour is one: a level may be called white.
function recoloured(value, key = "") {
  if (typeof value === "string") return /color/.test(key) ? darker(value) : value;
  if (Array.isArray(value)) return value.map((one) => recoloured(one, key));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, recoloured(one, name)]));
}

let onPaper = Boolean(printed);
const drawn = new Set();
function draw(place) {
  const source = place.dataset.figure ? document.getElementById(place.dataset.figure) : place;
  const { data, layout } = JSON.parse(source.nextElementSibling.textContent);
  const shown = { template: style, ...layout };
  const named = layout.showlegend === false ? 0 : data.filter((one) => one.name && one.showlegend !== false).length;
  const lines = layout.yaxis?.type === "category" ? new Set(data.flatMap((one) => one.y || [])).size : 0;
  const below = layout.legend?.y < 0 ? 22 * named : 0; // a list under the figure
  const more = below + 20 * Math.max(0, named - 4); // every line keeps its name
  if (place.dataset.figure) shown.height = Math.max(onPaper ? BRIEF_PAPER : BRIEF, 130 + 18 * lines) + more;
  else {
    shown.height = layout.height || style.layout.height;
    if (onPaper) shown.height = Math.min(shown.height, lines ? SHEET : Math.round(shown.height * LOWER) + more);
  }
  place.style.height = `${shown.height}px`;
  if (place.dataset.figure || onPaper) { // smaller letters
    shown.legend = { ...layout.legend, font: { size: 11 } };
    shown.font = { ...layout.font, size: 12 };
    const titled = (axis) => ({ ...axis, title: { ...axis.title, font: { size: 13 } } });
    shown.template = { ...style, layout: { ...style.layout, xaxis: titled(style.layout.xaxis), yaxis: titled(style.layout.yaxis) } };
  }
  if (place.dataset.figure) shown.margin = { l: 48, r: layout.yaxis2 ? 56 : 16, t: 48, b: 40 };
  else if (onPaper) shown.margin = { ...style.layout.margin, t: 48, b: 44, ...layout.margin };
  shown.hoverlabel = { bgcolor: "#ffffff", font: { color: "#1F2937" }, ...layout.hoverlabel };
  if (onPaper) shown.width = place.dataset.figure ? PAPER - 72 : PAPER; // within the decision's frame
  const night = isDark() && !onPaper;
  drawn.add(place);
  return Plotly.react(place, night ? recoloured(data) : data, night ? recoloured(shown) : shown, config);
}
const figures = [...document.querySelectorAll(".plotly-graph-div, .drawn")];
const seen = () => figures.filter((figure) => figure.offsetParent);
const near = new IntersectionObserver(
  (found) => found.filter((one) => one.isIntersecting).forEach((one) => { near.unobserve(one.target); draw(one.target); }),
  { rootMargin: "600px" },
);
function again() {
  const those = [...drawn];
  drawn.clear();
  those.forEach((place) => near.observe(place));
}
async function start() {
  if (printed) document.title = "unfinished"; // whoever prints sees whether all was drawn
  await unpacked();
  if (printed) {
    unfold();
    for (const table of document.querySelectorAll(".table table")) { // a wide table shrinks to the paper
      if (table.offsetWidth > PAPER) table.style.zoom = PAPER / table.offsetWidth;
    }
    await Promise.all(seen().map(draw));
    show(root.dataset.lang);
    return;
  }
  figures.forEach((figure) => near.observe(figure));
  document.addEventListener("theme", again);
  window.addEventListener("beforeprint", () => { onPaper = true; seen().forEach(draw); });
  window.addEventListener("afterprint", () => { onPaper = false; again(); });
}
start();
