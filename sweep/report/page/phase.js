// The phase diagram: its views over pairs of sigma_w, sigma_b and depth, with sliders.

const phase = data.phase;
const free = new Set(data.free);
const through = data.through_depth; // a network contains all shallower ones: the margin is known at all depths
const ofTruth = data.of_truth; // the modelled outcome of training takes the place of the margin
const byHorizon = data.needed !== null && !ofTruth;
// The calibrated margin of a point
const aboveBoundary = (k) => points.margin[k] + (points.margin_censored?.[k] ? data.excess : 0) - data.shift;
const marginText = data.shift ? `the margin less ${number(data.shift, 2)}` : "the margin"; // as a text
const COLOURS = ofTruth
  ? "Colour: the outcome of training, from −1 (as bad as chance) to 1 (the best accuracy); above 0 a network counts as trained."
  : `Colour: ${marginText}; 0 or more means predicted trainable.`;
const TOO_FEW = "Too few points for a boundary.";
const measure = ofTruth ? "outcome of training" : "margin";
const critical = data.critical.measured;
const theory = data.critical.theory;
const hasLine = critical.sigma_b.length > 0;

// Whether a point is drawn as a good one: it trained, or is predicted trainable. deeper: how much its margin would be
// higher at another depth.
const isGood = (k, deeper = 0) =>
  ofTruth && !missing(points.trainable?.[k]) ? points.trainable[k] : aboveBoundary(k) + deeper >= 0;
const GOOD = ofTruth
  ? ["point that trained, or is predicted to", "point that did not train, or is predicted not to"]
  : ["point predicted trainable", "point predicted untrainable"];
const MARKS = [
  [GOOD[0], { mark: "circle", colour: WHITE, edge: BLACK }],
  [GOOD[1], { mark: "circle", colour: BLACK, edge: WHITE }],
  data.status.failed ? ["failed point", { mark: "cross", colour: RED }] : null,
];

// Margin, boundary and critical line at each combination of the values of further axes; without such axes, at one
const slices = phase?.slices ?? [{ ...phase, critical }];
const BOUNDARIES = slices[0].boundary
  ? [
      ["boundary", { line: WHITE }],
      ["its 90 % interval", { fill: WHITE, opacity: 0.4 }],
    ]
  : [];
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
  if (furtherSliders.size) views.append(furtherControls());
  if (free.has("sigma_w") && free.has("sigma_b")) views.append(planeView());
  if (free.has("depth") && (free.has("sigma_w") || free.has("sigma_b"))) views.append(depthsView());
  for (const plane of data.planes) views.append(furtherView(plane));
  if (free.size === 1) views.append(lineView(...free));
  if (!free.size && profiled.length) views.append(replicasFigure());
  if (count) showDetail();
  else if (!views.childNodes.length) views.append(paragraph("No point has been measured yet."));
}

// A slider over values of an axis, and a function that returns the index of the chosen one; no slider for a single value
function slider(name, values, start, changed, id = `slider-${name}`) {
  if (values.length < 2) return [null, () => 0];
  const show = (value) => (name === "depth" ? many(value, "layer") : number(value, 3));
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
  const label = el("label", { for: id }, rich(symbolOf(name)));
  return [el("div", { class: "slider" }, label, input, output), () => Number(input.value)];
}

// A chart of all points, in which a click chooses one: the figure and the chart
function view(name, title, caption, items, control, draw) {
  const node = el("div", { class: "plot", id: name, tabindex: 0, "aria-describedby": `${name}-help` });
  const help = " Click a point, or use the arrow keys, to see its row and profile.";
  const captionNode = el("figcaption", { id: `${name}-help` }, rich(caption), help);
  const chart = plot(node, title.replace(/σ_/g, "σ"), draw, () =>
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
  chart.showsPoint = true;
  return [el("figure", {}, heading(title), control, node, legend(items, true), captionNode), chart];
}

// " at the depth of the slider": what the values of some axes are in a view that has sliders for them
const atSliders = (names) =>
  names.length ? ` at the ${listed(names.map(symbolOf))} of the slider${names.length > 1 ? "s" : ""}` : "";
const faintText = (names) =>
  names.length ? ` Points at other values of ${listed(names.map(symbolOf), "or")} are faint.` : "";

// How much deeper a point is than a depth, as a difference of logarithms
const deeperThan = (depth, k) => Math.log(points.depth[k] / depth);

// Whether a point is near the values of sliders, given as pairs of an axis and its value; null without any
function nearTo(pairs) {
  const near = ([name, value], k) =>
    name === "depth"
      ? Math.abs(deeperThan(value, k)) < 0.35
      : Math.abs(positionOn(name, points[name][k]) - positionOn(name, value)) <=
        (name === "sigma_b" ? 0.1 : 0.125);
  return pairs.length ? (k) => pairs.every((pair) => near(pair, k)) : null;
}

// The boundary and its interval in a slice: over σ_b at the depth of an index, or over depth at the σ_b of an index
function boundaryTraces({ boundary }, index, overDepth) {
  if (!boundary) return [];
  const take = (values) => (overDepth ? values.map((row) => row[index]) : values[index]);
  const y = overDepth ? phase.depths : phase.sigma_b;
  return ["lower", "upper"].flatMap((end) => {
    const [value, low, high] = [end, `${end}_5`, `${end}_95`].map((name) => take(boundary[name]));
    return [band(low, high, y, "rgba(255,255,255,0.3)"), path(value, y, WHITE, 2.2)];
  });
}

const criticalTraces = (low, middle, high, y) => [
  band(low, high, y, "rgba(0,0,0,0.3)"),
  path(middle, y, "rgba(255,255,255,0.55)", 5),
  path(middle, y, BLACK, 2.6),
];

// σ_w and σ_b

// What the colours of a slice show at a depth: the logarithm of the horizon, or the margin where there is no horizon
const colourValues = ({ margin }, d, minimum) =>
  margin[d].map((row) =>
    row.map((m) =>
      byHorizon ? Math.max(Math.log10(data.needed * phase.grid_depths[d]) + m / Math.LN10, minimum) : m,
    ),
  );

function colourRange() {
  const values = (slice) => slice.margin.flatMap((_, d) => colourValues(slice, d, Math.log10(0.5)).flat());
  const all = slices.flatMap(values);
  if (byHorizon) return [lowest(all), Math.max(highest(all), lowest(all) + 0.05)];
  const limit = ofTruth ? 1 : Math.max(highest(all), -lowest(all), 1e-6);
  return [-limit, limit];
}

function planeCaption(fixed) {
  if (!phase) return TOO_FEW;
  const white =
    through && fixed ? ` White marks are predicted trainable${fixed}, whatever their own depth.` : "";
  if (!byHorizon) return COLOURS + white;
  const anyDepth =
    " It does not depend on the depth of a network, but whether a network can be trained does.";
  return `Colour: the number of layers that the image survives.${through ? anyDepth : ""}${white}`;
}

function planeView() {
  const depths = phase ? phase.depths : [];
  const start = Math.floor((depths.length * 2) / 3);
  const [control, at] = slider("depth", depths, start, () => chart.draw());
  const range = phase ? colourRange() : null;
  const own = depths.length > 1 ? ["depth"] : [];
  const depthText = free.has("depth") ? "" : `, ${many(data.axes.depth[0], "layer")}`;
  const title = `σ_w and σ_b${own.length ? "" : depthText}${atSliders([...own, ...furtherSliders.keys()])}`;
  function field(c, slice, i) {
    const d = through ? 0 : i;
    const [label, ticks] = byHorizon
      ? [`${data.names[data.statistic]} (layers)`, ticksOf(10 ** range[0], 10 ** range[1])]
      : [measure, null];
    return [
      heat(c, phase.sigma_w, phase.sigma_b, colourValues(slice, d, range[0]), range, label, ticks),
      ...boundaryTraces(slice, i, false),
    ];
  }
  function draw(c) {
    const i = at();
    const depth = depths[i];
    const slice = chosenSlice();
    const traces = phase ? field(c, slice, i) : [];
    const { lower, sigma_w, upper, sigma_b } = slice.critical;
    if (hasLine) traces.push(...criticalTraces(lower, sigma_w, upper, sigma_b));
    if (theory) traces.push(path(theory.sigma_w, theory.sigma_b, RED, 2.2, DASHED));
    const good = (k) => isGood(k, through && phase ? deeperThan(depth, k) : 0);
    const near = nearTo([...(through ? [] : own.map((name) => [name, depth])), ...chosenFurther()]);
    return [
      [...traces, ...marks("sigma_w", "sigma_b", good, near)],
      layout(c, gridded("sigma_w"), gridded("sigma_b")),
    ];
  }
  const faint = faintText([...(through ? [] : own), ...furtherSliders.keys()]);
  const [node, chart] = view(
    "plane",
    title,
    planeCaption(atSliders(own)) + faint,
    [...BOUNDARIES, ...LINES, ...MARKS],
    control,
    draw,
  );
  return node;
}

const gridded = (name) => ({ ...axisOf(name), showgrid: !phase });

// σ_w and depth; σ_b and depth where σ_w is fixed

const marginAt = ({ margin }, d, b, w, depth) =>
  through ? margin[0][b][w] + Math.log(phase.grid_depths[0] / depth) : margin[d][b][w];

function depthsTitle(x, sliders) {
  const fixed = ["sigma_w", "sigma_b"].find((name) => !free.has(name));
  const fixedText = fixed ? `, ${symbolOf(fixed)} = ${number(data.axes[fixed][0])}` : "";
  return `${symbolOf(x)} and depth${fixedText}${atSliders(sliders)}`;
}

function depthsView() {
  const x = free.has("sigma_w") ? "sigma_w" : "sigma_b";
  const both = free.has("sigma_w") && free.has("sigma_b");
  const values = both && phase ? phase.sigma_b : [];
  const own = values.length > 1 ? ["sigma_b"] : [];
  const [control, at] = slider("sigma_b", values, Math.floor(values.length / 2), () => chart.draw());
  const ends = data.axes.depth;
  const evenly = (_, i) => ends[0] + ((ends[1] - ends[0]) * i) / 59;
  const levels = phase && (through ? Array.from({ length: 60 }, evenly) : phase.depths);
  const limit = phase && limitOf(slices.map((slice) => slice.margin));
  function field(c, slice, j) {
    const margin = (d, k, depth) => marginAt(slice, d, ...(x === "sigma_w" ? [j, k] : [k, 0]), depth);
    const z = levels.map((depth, d) => phase[x].map((_, k) => margin(d, k, depth)));
    return [
      heat(c, phase[x], levels, z, [-limit, limit], measure),
      ...(slice.boundary ? boundaryTraces(slice, j, true) : [zeroLine(phase[x], levels, z)]),
    ];
  }
  function verticals(line, j) {
    const traces = [];
    const twice = (value) => [value, value];
    const [low, middle, high] = ["lower", "sigma_w", "upper"].map((name) => twice(line[name][j]));
    if (hasLine) traces.push(...criticalTraces(low, middle, high, ends));
    if (theory) {
      const b = values.length ? values[j] : data.axes.sigma_b[0];
      traces.push(path(twice(interpolate(theory.sigma_b, theory.sigma_w, b)), ends, RED, 2.2, DASHED));
    }
    return traces;
  }
  function draw(c) {
    const j = at();
    const slice = chosenSlice();
    const traces = phase ? field(c, slice, j) : [];
    if (x === "sigma_w" && (phase || !both)) traces.push(...verticals(slice.critical, j));
    const near = nearTo([...own.map((name) => [name, values[j]]), ...chosenFurther()]);
    return [
      [...traces, ...marks(x, "depth", (k) => isGood(k), near)],
      layout(c, gridded(x), gridded("depth")),
    ];
  }
  const sliders = [...own, ...furtherSliders.keys()];
  const caption = (phase ? COLOURS : TOO_FEW) + faintText(sliders);
  const zero = phase && !BOUNDARIES.length ? [["boundary", { line: WHITE }]] : [];
  const items = [...zero, ...BOUNDARIES, ...(x === "sigma_w" ? LINES : []), ...MARKS];
  const [node, chart] = view("depths", depthsTitle(x, sliders), caption, items, control, draw);
  return node;
}

// The end of the scale of colours for margins, given as nested lists
const limitOf = (margins) =>
  Math.min(ofTruth ? 1 : 2.5, Math.max(highest(margins.flat(Infinity).map(Math.abs)), 0.1));

// The margin along the only free axis

function lineView(x) {
  const line = data.line;
  const hasTheory = x === "sigma_w" && theory;
  const inAccuracy = line && ofTruth;
  const [up, level] = inAccuracy ? ["accuracy", line.level] : ["margin", data.shift];
  const least = number(level, 2);
  const unlessLine = line ? "" : `${TOO_FEW} `;
  const caption = inAccuracy
    ? `An accuracy above ${least} counts as trained.`
    : `${unlessLine}${line ? least : `A margin of ${least}`} or more means predicted trainable.`;
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
    traces.push(path(data.axes[x], [level, level], c.quiet, 1));
    if (hasTheory) {
      const at = theory.sigma_w[0];
      traces.push({ ...path([at, at], [0, 1], c.theory, 2, DASHED), yaxis: "y2" });
    }
    traces.push(...marks(x, points[up] ? up : "depth", (k) => isGood(k)));
    const unit = { overlaying: "y", range: [0, 1], visible: false, fixedrange: true };
    return [traces, layout(c, axisOf(x), { title: up }, { yaxis2: unit })];
  }
  const title = `${inAccuracy ? "Accuracy" : "Margin"} along ${symbolOf(x)}`;
  const [node] = view("along", title, caption, items, null, draw);
  return node;
}
