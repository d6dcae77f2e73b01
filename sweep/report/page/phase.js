// The phase diagram: its views over pairs of free axes, with sliders.

const phase = data.phase;
const free = new Set(data.free);
const through = data.through_depth; // a network contains all shallower ones: the margin is known at all depths
const byHorizon = data.needed !== null;
// The calibrated margin of a point
const aboveBoundary = (k) => points.margin[k] + (points.margin_censored?.[k] ? data.excess : 0) - data.shift;
const marginText = data.shift ? `the margin less ${number(data.shift, 2)}` : "the margin"; // as a text
const critical = data.critical.measured;
const theory = data.critical.theory;
const hasLine = critical.sigma_b.length > 0;
const SYMBOLS = { sigma_w: "σ_w", sigma_b: "σ_b", depth: "depth" };

const MARKS = [
  ["point predicted trainable", { mark: "circle", colour: WHITE, edge: BLACK }],
  ["point predicted untrainable", { mark: "circle", colour: BLACK, edge: WHITE }],
  data.status.failed ? ["failed point", { mark: "cross", colour: RED }] : null,
];
const BOUNDARIES = [
  phase?.boundary ? ["boundary", { line: WHITE }] : null,
  phase?.boundary ? ["its 90 % interval", { fill: WHITE, opacity: 0.4 }] : null,
];
const LINES = [
  hasLine ? ["measured critical line and its 90 % interval", { line: BLACK, fill: BLACK }] : null,
  theory ? ["critical line of mean field theory, χ_1 = 1", { line: RED, dash: "5 3" }] : null,
];

function phaseSection() {
  const views = el("div", {});
  const node = section("phase", "Phase diagram");
  if (data.all_points > count) {
    const failed = data.status.failed ? " with failed ones among them" : "";
    const sample = `${many(count, "point")} of ${whole(data.all_points)}, drawn at random${failed}`;
    node.append(
      remark(`Marks, rows and profiles show ${sample}; colours and lines are estimated from all points.`),
    );
  }
  node.append(el("div", { class: "columns" }, views, count ? detail : ""));
  if (free.has("sigma_w") && free.has("sigma_b")) views.append(planeView());
  if (free.has("depth") && free.size > 1) views.append(depthsView());
  if (free.size === 1) views.append(lineView(...free));
  if (!free.size && profiled.length) views.append(replicasFigure());
  if (count) showDetail();
  else if (!views.childNodes.length) views.append(paragraph("No point has been measured yet."));
}

// A slider over values, and a function that returns the index of the chosen one; no slider for a single value
function slider(name, values, start, show, changed) {
  if (values.length < 2) return [null, () => 0];
  const id = `slider-${name}`;
  const input = el("input", { type: "range", id, min: 0, max: values.length - 1, step: 1, value: start });
  const output = el("output", { for: id });
  function showValue() {
    output.textContent = show(values[input.value]);
    input.setAttribute("aria-valuetext", show(values[input.value]));
  }
  let waiting = false;
  input.addEventListener("input", () => {
    showValue();
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      changed();
    });
  });
  showValue();
  const label = el("label", { for: id }, rich(SYMBOLS[name]));
  return [el("div", { class: "slider" }, label, input, output), () => Number(input.value)];
}

// A chart of all points, in which a click chooses one: the figure and the chart
function view(name, title, caption, items, control, draw) {
  const node = el("div", { class: "plot", id: name, tabindex: 0, "aria-describedby": `${name}-help` });
  const help = " Click a point, or use the arrow keys, to see its row and profile.";
  const captionNode = el("figcaption", { id: `${name}-help` }, rich(caption), help);
  const chart = plot(node, title.replace(/_/g, ""), draw, () =>
    node.on("plotly_click", (event) => {
      const hit = event.points.find((p) => Number.isInteger(p.customdata));
      if (hit) choose(hit.customdata);
    }),
  );
  node.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !count) return;
    event.preventDefault();
    chooseNext(step);
  });
  return [el("figure", {}, heading(title), control, node, legend(items, true), captionNode), chart];
}

// The boundary and its interval: over σ_b at the depth of an index, or over depth at the σ_b of an index
function boundaryTraces(index, overDepth) {
  if (!phase.boundary) return [];
  const take = (values) => (overDepth ? values.map((row) => row[index]) : values[index]);
  const y = overDepth ? phase.depths : phase.sigma_b;
  return ["lower", "upper"].flatMap((end) => {
    const [value, low, high] = [end, `${end}_5`, `${end}_95`].map((name) => take(phase.boundary[name]));
    return [band(low, high, y, "rgba(255,255,255,0.3)"), path(value, y, WHITE, 2.2)];
  });
}

const criticalTraces = (low, middle, high, y) => [
  band(low, high, y, "rgba(0,0,0,0.3)"),
  path(middle, y, "rgba(255,255,255,0.55)", 5),
  path(middle, y, BLACK, 2.6),
];

// σ_w and σ_b

// The values that the colours show at a depth: the logarithm of the horizon, or the margin where there is no horizon
const colourValues = (d, minimum) =>
  phase.margin[d].map((row) =>
    row.map((m) =>
      byHorizon ? Math.max(Math.log10(data.needed * phase.grid_depths[d]) + m / Math.LN10, minimum) : m,
    ),
  );

function colourRange() {
  const all = phase.margin.flatMap((_, d) => colourValues(d, Math.log10(0.5)).flat());
  if (byHorizon) return [lowest(all), Math.max(highest(all), lowest(all) + 0.05)];
  const limit = Math.max(highest(all), -lowest(all), 1e-6);
  return [-limit, limit];
}

function planeCaption(fixed) {
  if (!phase) return "Too few points for a boundary.";
  const white =
    through && fixed ? ` White marks are predicted trainable${fixed}, whatever their own depth.` : "";
  if (!byHorizon) return `Colour: ${marginText}; 0 or more means predicted trainable.${white}`;
  const anyDepth =
    " It does not depend on the depth of a network, but whether a network can be trained does.";
  return `Colour: the number of layers that the image survives.${through ? anyDepth : ""}${white}`;
}

function planeView() {
  const depths = phase ? phase.depths : [];
  const show = (d) => many(d, "layer");
  const start = Math.floor((depths.length * 2) / 3);
  const [control, at] = slider("depth", depths, start, show, () => chart.draw());
  const range = phase ? colourRange() : null;
  const fixed = depths.length > 1 ? " at the depth of the slider" : "";
  const title = `σ_w and σ_b${fixed || (free.has("depth") ? "" : `, ${show(data.axes.depth[0])}`)}`;
  function field(c, i) {
    const d = through ? 0 : i;
    const [label, ticks] = byHorizon
      ? [`${data.names[data.statistic]} (layers)`, ticksOf(10 ** range[0], 10 ** range[1])]
      : ["margin", null];
    return [
      heat(c, phase.sigma_w, phase.sigma_b, colourValues(d, range[0]), range, label, ticks),
      ...boundaryTraces(i, false),
    ];
  }
  function draw(c) {
    const i = at();
    const depth = depths[i];
    const traces = phase ? field(c, i) : [];
    const { lower, sigma_w, upper, sigma_b } = critical;
    if (hasLine) traces.push(...criticalTraces(lower, sigma_w, upper, sigma_b));
    if (theory) traces.push(path(theory.sigma_w, theory.sigma_b, RED, 2.2, DASHED));
    const deeper = (k) => Math.log(points.depth[k] / depth);
    const good = (k) => aboveBoundary(k) + (through && phase ? deeper(k) : 0) >= 0;
    const near = !through && depths.length > 1 ? (k) => Math.abs(deeper(k)) < 0.35 : null;
    return [
      [...traces, ...marks("sigma_w", "sigma_b", good, near)],
      layout(c, axisOf("sigma_w"), axisOf("sigma_b")),
    ];
  }
  const [node, chart] = view(
    "plane",
    title,
    planeCaption(fixed),
    [...BOUNDARIES, ...LINES, ...MARKS],
    control,
    draw,
  );
  return node;
}

const axisOf = (name) => ({ title: NAMES[name], range: data.axes[name], showgrid: !phase });

// σ_w and depth; σ_b and depth where σ_w is fixed

const marginAt = (d, b, w, depth) =>
  through ? phase.margin[0][b][w] + Math.log(phase.grid_depths[0] / depth) : phase.margin[d][b][w];

function depthsTitle(x, both) {
  if (both) return `σ_w and depth${phase ? " at the σ_b of the slider" : ""}`;
  const fixed = x === "sigma_w" ? "sigma_b" : "sigma_w";
  return `${SYMBOLS[x]} and depth, ${SYMBOLS[fixed]} = ${number(data.axes[fixed][0])}`;
}

function depthsView() {
  const x = free.has("sigma_w") ? "sigma_w" : "sigma_b";
  const both = free.has("sigma_w") && free.has("sigma_b");
  const values = both && phase ? phase.sigma_b : [];
  const start = Math.floor(values.length / 2);
  const [control, at] = slider(
    "sigma_b",
    values,
    start,
    (b) => number(b, 3),
    () => chart.draw(),
  );
  const ends = data.axes.depth;
  const evenly = (_, i) => ends[0] + ((ends[1] - ends[0]) * i) / 59;
  const levels = phase && (through ? Array.from({ length: 60 }, evenly) : phase.depths);
  const limit = phase && Math.min(2.5, Math.max(highest(phase.margin.flat(2).map(Math.abs)), 0.1));
  function field(c, j) {
    const margin = (d, k, depth) => (x === "sigma_w" ? marginAt(d, j, k, depth) : marginAt(d, k, 0, depth));
    const z = levels.map((depth, d) => phase[x].map((_, k) => margin(d, k, depth)));
    const contour = {
      type: "contour",
      x: phase[x],
      y: levels,
      z,
      showscale: false,
      hoverinfo: "skip",
      contours: { start: 0, end: 0, size: 1, coloring: "none" },
      line: { color: WHITE, width: 2.2 },
    };
    return [
      heat(c, phase[x], levels, z, [-limit, limit], "margin"),
      ...(phase.boundary ? boundaryTraces(j, true) : [contour]),
    ];
  }
  function verticals(j) {
    const traces = [];
    const twice = (value) => [value, value];
    const [low, middle, high] = ["lower", "sigma_w", "upper"].map((name) => twice(critical[name][j]));
    if (hasLine) traces.push(...criticalTraces(low, middle, high, ends));
    if (theory) {
      const b = values.length ? values[j] : data.axes.sigma_b[0];
      traces.push(path(twice(interpolate(theory.sigma_b, theory.sigma_w, b)), ends, RED, 2.2, DASHED));
    }
    return traces;
  }
  function draw(c) {
    const j = at();
    const traces = phase ? field(c, j) : [];
    if (x === "sigma_w" && (phase || !both)) traces.push(...verticals(j));
    const width = (data.axes.sigma_b[1] - data.axes.sigma_b[0]) / 10;
    const near = values.length > 1 ? (k) => Math.abs(points.sigma_b[k] - values[j]) <= width : null;
    const good = (k) => aboveBoundary(k) >= 0;
    return [[...traces, ...marks(x, "depth", good, near)], layout(c, axisOf(x), axisOf("depth"))];
  }
  const caption = phase
    ? `Colour: ${marginText}; 0 or more means predicted trainable.`
    : "Too few points for a boundary.";
  const faint = values.length > 1 ? " Points at other σ_b are faint." : "";
  const zero = phase && !phase.boundary ? [["boundary", { line: WHITE }]] : [];
  const items = [...zero, ...BOUNDARIES, ...(x === "sigma_w" ? LINES : []), ...MARKS];
  const [node, chart] = view("depths", depthsTitle(x, both), caption + faint, items, control, draw);
  return node;
}

// The margin along the only free axis

function lineView(x) {
  const line = data.line;
  const hasTheory = x === "sigma_w" && theory;
  const least = number(data.shift, 2);
  const caption = line
    ? `${least} or more means predicted trainable.`
    : `Too few points for a boundary. A margin of ${least} or more means predicted trainable.`;
  const items = [
    line ? ["estimate and its 90 % interval", { line: "#64b5f0", fill: "#64b5f0" }] : null,
    hasTheory ? ["critical point of mean field theory, χ_1 = 1", { line: "#ff7b93", dash: "5 3" }] : null,
    ...MARKS,
  ];
  function draw(c) {
    const traces = [];
    if (line) {
      traces.push(band(line.low, line.high, line.x, "rgba(0,114,178,0.25)", true));
      traces.push(path(line.x, line.mean, c.blue, 2.4));
    }
    traces.push(path(data.axes[x], [data.shift, data.shift], c.quiet, 1));
    if (hasTheory) {
      const at = theory.sigma_w[0];
      traces.push({ ...path([at, at], [0, 1], c.theory, 2, DASHED), yaxis: "y2" });
    }
    traces.push(...marks(x, points.margin ? "margin" : "depth", (k) => aboveBoundary(k) >= 0));
    const unit = { overlaying: "y", range: [0, 1], visible: false, fixedrange: true };
    const across = { title: NAMES[x], range: data.axes[x] };
    return [traces, layout(c, across, { title: "margin" }, { yaxis2: unit })];
  }
  const [node] = view("along", `Margin along ${SYMBOLS[x]}`, caption, items, null, draw);
  return node;
}
