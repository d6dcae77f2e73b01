// Charts drawn by Plotly: their axes, legends and traces.

const charts = [];
let chosen = null; // index of the point whose details are shown

// Colours of lines and marks on a phase diagram, in either theme
const WHITE = "#ffffff";
const BLACK = "#000000";
const RED = "#e8254f";
const NAMES = {
  sigma_w: "weight standard deviation σ<sub>w</sub>",
  sigma_b: "bias standard deviation σ<sub>b</sub>",
  depth: "depth (hidden layers)",
};
const titleOf = (name) => (Object.hasOwn(NAMES, name) ? NAMES[name] : escaped(name));
const DASHED = "6px,4px";
const PALETTE = ["rule", "ink", "soft", "quiet", "theory", "blue", "orange", "green", "purple"];

// A colour as a CSS variable, for legends, which follow the theme by themselves
const ink = (name) => `var(--${name})`;

// The colours of the current theme, for Plotly
function colours() {
  const style = getComputedStyle(root);
  return Object.fromEntries(PALETTE.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// Charts

// Make a chart of a node. draw(colours) returns its traces and layout; afterFirst is called once they are drawn.
function plot(node, label, draw, afterFirst) {
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", label);
  const config = { responsive: true, displayModeBar: false };
  let started = false;
  function paint() {
    const [traces, chartLayout] = draw(colours());
    Plotly.react(node, traces, chartLayout, config);
  }
  function start() {
    started = true;
    paint();
    if (afterFirst) afterFirst();
  }
  const chart = { node, start, draw: () => started && paint() };
  charts.push(chart);
  return chart;
}

// Draw each chart when it comes near the window, so that the page opens at once, however many charts it has.
function drawWhenNear() {
  const waiting = new Map(charts.map((chart) => [chart.node, chart]));
  function start(node) {
    const chart = waiting.get(node);
    waiting.delete(node);
    if (chart) chart.start();
  }
  function ready() {
    root.dataset.ready = Math.round(performance.now());
  }
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        near.unobserve(target);
        start(target);
      }
      ready();
    },
    { rootMargin: "300px" },
  );
  for (const node of waiting.keys()) near.observe(node);
  if (!waiting.size) ready();
  addEventListener("beforeprint", () => [...waiting.keys()].forEach(start));
}

// A figure with its title, chart, legend and caption; and the node that the chart is drawn in
function figure(id, items, { title, caption, kind = "plot middle", overDiagram = false } = {}) {
  const node = el("div", { class: kind, id });
  const captionNode = caption && el("figcaption", {}, rich(caption));
  return [el("figure", {}, title && heading(title), node, legend(items, overDiagram), captionNode), node];
}

// Plotly's layout with the axes x and y, in the colours c
function layout(c, x, y, more = {}) {
  const narrow = innerWidth < 560;
  const coarse = matchMedia("(pointer: coarse)").matches;
  const axis = (a) => ({
    gridcolor: c.rule,
    zeroline: false,
    linecolor: c.quiet,
    ticks: "outside",
    tickcolor: c.quiet,
    automargin: true,
    ...a,
    title: { text: a.title, standoff: 10, font: { size: 13 } },
  });
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    hovermode: "closest",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: c.ink },
    hoverlabel: { bgcolor: c.soft, bordercolor: c.quiet, font: { color: c.ink, size: 12 }, align: "left" },
    margin: { l: narrow ? 46 : 60, r: narrow ? 8 : 16, t: 10, b: 46 },
    dragmode: coarse ? false : "zoom",
    ...more,
    xaxis: axis(x),
    yaxis: axis(y),
  };
}

// Round numbers as ticks of a logarithmic axis: the fewer in a decade, the more decades there are. Below four decades
// there are none where the axis begins at 0.
function ticksOf(low, high) {
  const [first, last] = [low > 0 ? low : high * 1e-4, high].map(Math.log10);
  const multiples = last - first > 6 ? [1] : last - first > 2.5 ? [1, 3] : [1, 1.5, 2, 3, 5];
  const decades = Array.from({ length: Math.floor(last) - Math.floor(first) + 1 }, (_, i) => i);
  return decades
    .flatMap((i) => multiples.map((m) => Number((m * 10 ** (Math.floor(first) + i)).toPrecision(2))))
    .filter((t) => t >= low * 0.999 && t <= high * 1.001);
}
const ticked = (ticks) => ({ tickvals: ticks, ticktext: ticks.map(String) });

// The title, range and scale of an axis of the sweep
function axisOf(name) {
  const [low, high] = data.axes[name];
  const axis = { title: titleOf(name), range: [low, high] };
  if (!isLog(name)) return axis;
  const ticks = ticksOf(low, high);
  const round = ticks.length > 2 ? ticked(ticks) : {}; // else Plotly finds some
  return { ...axis, range: axis.range.map(Math.log10), type: "log", ...round };
}

// Legends

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// A legend. items: [text, {line | fill | mark, dash, edge, ...}]; overDiagram: marks are drawn on the colours of a phase
// diagram, so that they need a dark ground here.
function legend(items, overDiagram) {
  const entry = ([label, mark]) => {
    const ground = overDiagram ? [svg("rect", { width: 30, height: 16, rx: 3, fill: "#6e7078" })] : [];
    const shapes = [...ground, ...swatch(mark)];
    return el("li", {}, svg("svg", { width: 30, height: 16, "aria-hidden": "true" }, ...shapes), rich(label));
  };
  return el("ul", { class: "legend" }, items.filter(Boolean).map(entry));
}

// The shapes of a mark in a legend
function swatch({ line, fill, mark, dash, edge, opacity, colour }) {
  const shapes = [];
  if (fill) {
    const box = { x: 4, y: 2, width: 22, height: 12 };
    shapes.push(svg("rect", { ...box, fill, "fill-opacity": opacity || 0.3 }));
  }
  if (line) {
    const stroke = { stroke: line, "stroke-width": 2.4, "stroke-dasharray": dash || "none" };
    shapes.push(svg("line", { x1: 2, x2: 28, y1: 8, y2: 8, ...stroke }));
  }
  const face = { fill: colour, stroke: edge || "none" };
  if (mark === "cross")
    shapes.push(svg("path", { d: "M11 4l8 8m0-8l-8 8", stroke: colour, "stroke-width": 2.2 }));
  if (mark === "triangle") shapes.push(svg("path", { d: "M15 3l5 9h-10z", ...face }));
  if (mark === "circle") shapes.push(svg("circle", { cx: 15, cy: 8, r: 4.4, ...face, "stroke-width": 1.2 }));
  return shapes;
}

// Traces of points

// Plotly reads texts as markup.
const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const spaced = (name) => name.replace(/_/g, " ");

// What is shown when the pointer is on a point
function hoverText(i) {
  const get = (name) => (points[name] ? points[name][i] : null);
  const known = (...names) => names.filter((name) => get(name) !== null);
  const lines = [escaped(placeText(KEYS, get)).replace(/σ_(.)/g, "σ<sub>$1</sub>")];
  if (get("status") !== "ok") lines.push(`<b>${escaped(get("status"))}</b>`);
  lines.push(...((get("error") || "").slice(0, 180).match(/.{1,60}/g) || []).map(escaped));
  for (const name of known(...Object.keys(data.needs), "margin")) {
    const atLeast = get(`${name}_censored`) ? "at least " : "";
    lines.push(`${spaced(name)} ${atLeast}${number(get(name))}`);
  }
  const others = [
    "direct_retained",
    "cascade_correlation",
    "cascade_retained",
    "gradient_norm",
    "gradient_ratio",
  ];
  for (const name of known(...others)) lines.push(`${spaced(name)} ${number(get(name))}`);
  if (known("accuracy").length)
    lines.push(
      `accuracy ${number(get("accuracy"))}, ${get("trainable") ? "trained successfully" : "did not train"}`,
    );
  return lines.join("<br>");
}
const hovers = indices.map(hoverText);

// All points, on the colours of a phase diagram: white if good (predicted trainable), faint if not near
function marks(x, y, good, near) {
  const crowded = count > 300;
  const groups = { good: [], bad: [], failed: [] };
  for (const i of indices) {
    const measured = points.margin && points.margin[i] !== null;
    groups[measured ? (good(i) ? "good" : "bad") : "failed"].push(i);
  }
  const trace = (name, color, marker) => ({
    type: "scatter",
    mode: "markers",
    name,
    cliponaxis: false,
    x: groups[name].map((i) => points[x][i]),
    y: groups[name].map((i) => points[y][i]),
    customdata: groups[name],
    text: groups[name].map((i) => hovers[i]),
    hoverinfo: "text",
    marker: { color, opacity: near ? groups[name].map((i) => (near(i) ? 1 : 0.18)) : 1, ...marker },
  });
  const dot = (edge) => ({
    size: crowded ? 5 : 8,
    symbol: "circle",
    line: { color: edge, width: crowded ? 0.6 : 1 },
  });
  const cross = { size: 9, symbol: "x-thin", line: { color: RED, width: 2 } };
  return [
    trace("bad", BLACK, dot(WHITE)),
    trace("good", WHITE, dot(BLACK)),
    trace("failed", RED, cross),
    ring(x, y),
  ];
}

// A ring around the chosen point
const ring = (x, y) => ({
  type: "scatter",
  mode: "markers",
  name: "chosen",
  hoverinfo: "skip",
  x: chosen === null ? [] : [points[x][chosen]],
  y: chosen === null ? [] : [points[y][chosen]],
  marker: { size: 17, color: "rgba(0,0,0,0)", line: { color: "#ff9d1c", width: 3.5 } },
});

// Traces of curves

const path = (x, y, color, width, dash) => ({
  type: "scatter",
  mode: "lines",
  x,
  y,
  hoverinfo: "skip",
  connectgaps: false,
  line: { color, width, dash: dash || "solid" },
});

// The area between two curves low and high over y: a closed outline for each stretch in which both are known. flip: y is
// the horizontal axis.
function band(low, high, y, fillcolor, flip) {
  const x = [];
  const alongY = [];
  let from = null;
  for (let i = 0; i <= y.length; i++) {
    const known = i < y.length && low[i] !== null && high[i] !== null;
    if (known && from === null) from = i;
    if (!known && from !== null) {
      x.push(...low.slice(from, i), ...high.slice(from, i).reverse(), null);
      alongY.push(...y.slice(from, i), ...y.slice(from, i).reverse(), null);
      from = null;
    }
  }
  return {
    type: "scatter",
    mode: "lines",
    x: flip ? alongY : x,
    y: flip ? x : alongY,
    fill: "toself",
    fillcolor,
    line: { width: 0 },
    hoverinfo: "skip",
  };
}

// The line where values on a grid are 0
const zeroLine = (x, y, z) => ({
  type: "contour",
  x,
  y,
  z,
  showscale: false,
  hoverinfo: "skip",
  contours: { start: 0, end: 0, size: 1, coloring: "none" },
  line: { color: WHITE, width: 2.2 },
});

// A phase diagram's colours
function heat(c, x, y, z, [low, high], label, ticks) {
  const bar = {
    thickness: 12,
    outlinewidth: 0,
    title: { text: label, side: "right", font: { size: 12 } },
    tickcolor: c.quiet,
  };
  return {
    type: "heatmap",
    x,
    y,
    z,
    zmin: low,
    zmax: high,
    zsmooth: "best",
    colorscale: "Cividis",
    colorbar: ticks ? { ...bar, tickvals: ticks.map(Math.log10), ticktext: ticks.map(String) } : bar,
    hoverinfo: "skip",
  };
}
