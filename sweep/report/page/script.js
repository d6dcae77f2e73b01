"use strict";
// Draws the page from the JSON beside it. Whatever comes from there is set as text: never as markup, never as code.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement, main = document.getElementById("main");
  const points = data.points, count = points.seed.length, P = data.phase;
  const lowest = (values) => values.reduce((a, b) => (b !== null && b < a ? b : a), Infinity);
  const highest = (values) => -lowest(values.map((v) => (v === null ? null : -v)));
  const charts = [];
  let chosen = null;

  // Light and dark

  const dark = matchMedia("(prefers-color-scheme: dark)"), themeButton = document.getElementById("theme"), modes = ["auto", "dark", "light"];
  let mode = "auto";
  function paint() { root.dataset.theme = mode === "auto" ? (dark.matches ? "dark" : "light") : mode; }
  function repaint() { paint(); for (const chart of charts) chart.draw(); }
  themeButton.addEventListener("click", () => {
    mode = modes[(modes.indexOf(mode) + 1) % modes.length];
    themeButton.textContent = `Theme: ${mode}`;
    themeButton.setAttribute("aria-label", `Colours: ${mode === "auto" ? "as the system's" : mode}`);
    repaint();
  });
  dark.addEventListener("change", () => { if (mode === "auto") repaint(); });
  paint();

  // Text and elements

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== ""));
    return node;
  }

  const rich = (text) => text.split(/(σ_[wb]|ξ_c|χ_1)/).map((s) => (/^[σξχ]_.$/.test(s) ? el("span", {}, s[0], el("sub", {}, s[2])) : s));
  const plotly = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const number = (v, digits = 4) => (typeof v === "number" ? String(Number(v.toPrecision(digits))) : v === null || v === undefined ? "–" : String(v));
  const share = (v) => (v === null || v === undefined ? "–" : `${number(100 * v, 2)} %`);
  const places = (v, digits = 3) => (typeof v === "number" ? v.toFixed(digits) : "–");
  const many = (n, one, more = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;

  function operations(v) {
    if (typeof v !== "number") return "–";
    const step = Math.max(0, Math.min(6, Math.floor(Math.log10(v) / 3)));
    return `${number(v / 1000 ** step, 3)} ${["", "k", "M", "G", "T", "P", "E"][step]}FLOP`;
  }

  function table(head, rows, kinds = []) {
    const cell = (tag, value, i) => el(tag, { class: kinds[i] || null, scope: tag === "th" ? "col" : null }, typeof value === "string" ? rich(value) : value);
    return el("div", { class: "wide" }, el("table", {},
      head && el("thead", {}, el("tr", {}, head.map((h, i) => cell("th", h, i)))),
      el("tbody", {}, rows.map((r) => el("tr", {}, r.map((v, i) => (i ? cell("td", v, i) : el("th", { scope: "row", class: kinds[0] || null }, typeof v === "string" ? rich(v) : v))))))));
  }

  function section(id, title, ...children) {
    document.getElementById("contents").append(el("a", { href: `#${id}` }, title));
    const node = el("section", { id, "aria-labelledby": `${id}-title` }, el("h2", { id: `${id}-title` }, title), children);
    main.append(node);
    return node;
  }

  const text = (t, quiet) => el("p", { class: quiet ? "quiet" : null }, rich(t));

  // Plots

  const ink = (name) => `var(--${name})`; // of a legend, which follows the theme by itself
  const css = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const colours = () => Object.fromEntries(["paper", "soft", "rule", "ink", "quiet", "theory", "blue", "orange", "green", "purple"].map((n) => [n, css(n)]));
  const coarse = matchMedia("(pointer: coarse)").matches;
  const SCALE = "Cividis", WHITE = "#ffffff", BLACK = "#000000", RED = "#e8254f"; // over the colours of a phase diagram
  const NAMES = { sigma_w: "weight standard deviation σ<sub>w</sub>", sigma_b: "bias standard deviation σ<sub>b</sub>", depth: "depth (hidden layers)" };
  const SYMBOLS = { sigma_w: "σ_w", sigma_b: "σ_b", depth: "depth", seed: "seed" };

  function layout(c, x, y, more = {}) {
    const narrow = innerWidth < 560;
    const axis = (a) => ({ gridcolor: c.rule, zeroline: false, linecolor: c.quiet, ticks: "outside", tickcolor: c.quiet, automargin: true, ...a, title: { text: a.title, standoff: 10, font: { size: 13 } } });
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: c.ink },
      hoverlabel: { bgcolor: c.soft, bordercolor: c.quiet, font: { color: c.ink, size: 12 }, align: "left" },
      margin: { l: narrow ? 46 : 60, r: narrow ? 8 : 16, t: 10, b: 46 },
      dragmode: coarse ? false : "zoom", ...more, xaxis: axis(x), yaxis: axis(y),
    };
  }

  function plot(node, label, draw, drawn) {
    node.setAttribute("role", "group");
    node.setAttribute("aria-label", label);
    const config = { responsive: true, displayModeBar: false };
    let begun = false;
    const paint = () => { const [traces, plan] = draw(colours()); Plotly.react(node, traces, plan, config); };
    const chart = { node, draw: () => { if (begun) paint(); }, begin: () => { begun = true; paint(); if (drawn) drawn(); } };
    charts.push(chart);
    return chart;
  }

  // What a mark means: [text, {line | fill | mark, dash, edge}]; over: it stands on the colours of a phase diagram
  function legend(items, over) {
    const NS = "http://www.w3.org/2000/svg";
    const shape = (tag, attributes) => { const n = document.createElementNS(NS, tag); for (const [k, v] of Object.entries(attributes)) n.setAttribute(k, v); return n; };
    return el("ul", { class: "legend" }, items.filter(Boolean).map(([label, m]) => {
      const svg = shape("svg", { width: 30, height: 16, "aria-hidden": "true" });
      if (over) svg.append(shape("rect", { width: 30, height: 16, rx: 3, fill: "#6e7078" }));
      if (m.fill) svg.append(shape("rect", { x: 4, y: 2, width: 22, height: 12, fill: m.fill, "fill-opacity": m.opacity || 0.3 }));
      if (m.line) svg.append(shape("line", { x1: 2, x2: 28, y1: 8, y2: 8, stroke: m.line, "stroke-width": 2.4, "stroke-dasharray": m.dash || "none" }));
      if (m.mark === "cross") svg.append(shape("path", { d: "M11 4l8 8m0-8l-8 8", stroke: m.colour, "stroke-width": 2.2 }));
      else if (m.mark === "triangle") svg.append(shape("path", { d: "M15 3l5 9h-10z", fill: m.colour, stroke: m.edge || "none" }));
      else if (m.mark) svg.append(shape("circle", { cx: 15, cy: 8, r: 4.4, fill: m.colour, stroke: m.edge || "none", "stroke-width": 1.2 }));
      return el("li", {}, svg, rich(label));
    }));
  }

  function hoverText(i) {
    const get = (name) => (points[name] ? points[name][i] : null);
    const lines = [`σ<sub>w</sub> ${number(get("sigma_w"))}, σ<sub>b</sub> ${number(get("sigma_b"))}, depth ${get("depth")}, seed ${get("seed")}`];
    if (get("status") !== "ok") lines.push(`<b>${plotly(get("status"))}</b>`);
    for (const part of (get("error") || "").slice(0, 180).match(/.{1,60}/g) || []) lines.push(plotly(part));
    for (const name of ["direct_horizon", "cascade_horizon", "margin"]) if (get(name) !== null) lines.push(`${name.replace("_", " ")} ${get(`${name}_censored`) ? "at least " : ""}${number(get(name))}`);
    for (const name of ["direct_retained", "cascade_retained"]) if (get(name) !== null) lines.push(`${name.replace("_", " ")} ${number(get(name))}`);
    if (get("accuracy") !== null) lines.push(`accuracy ${number(get("accuracy"))}, ${get("trainable") ? "trained" : "not trained"}`);
    return lines.join("<br>");
  }
  const hovers = Array.from({ length: count }, (_, i) => hoverText(i));
  const measured = (i) => points.margin && points.margin[i] !== null;

  function marks(x, y, good, near) {
    const many = count > 300, size = many ? 5 : 8;
    const groups = { good: [], bad: [], failed: [] };
    for (let i = 0; i < count; i++) groups[measured(i) ? (good(i) ? "good" : "bad") : "failed"].push(i);
    const trace = (name, face, edge, symbol = "circle") => ({
      type: "scatter", mode: "markers", name, cliponaxis: false, x: groups[name].map((i) => points[x][i]), y: groups[name].map((i) => points[y][i]),
      customdata: groups[name], text: groups[name].map((i) => hovers[i]), hoverinfo: "text",
      marker: { size: name === "failed" ? 9 : size, symbol, color: face, opacity: near ? groups[name].map((i) => (near(i) ? 1 : 0.18)) : 1, line: { color: edge, width: name === "failed" ? 2 : many ? 0.6 : 1 } },
    });
    const ring = { type: "scatter", mode: "markers", name: "chosen", hoverinfo: "skip", x: chosen === null ? [] : [points[x][chosen]], y: chosen === null ? [] : [points[y][chosen]], marker: { size: 17, color: "rgba(0,0,0,0)", line: { color: "#ff9d1c", width: 3.5 } } };
    return [trace("bad", BLACK, WHITE), trace("good", WHITE, BLACK), trace("failed", RED, RED, "x-thin"), ring];
  }

  const path = (x, y, color, width, dash) => ({ type: "scatter", mode: "lines", x, y, hoverinfo: "skip", connectgaps: false, line: { color, width, dash: dash || "solid" } });

  // Between two curves over y: a closed outline for each stretch in which both are known
  function band(low, high, y, fillcolor, flip) {
    const x = [], other = [];
    let from = null;
    for (let i = 0; i <= y.length; i++) {
      const known = i < y.length && low[i] !== null && high[i] !== null;
      if (known && from === null) from = i;
      if (!known && from !== null) {
        x.push(...low.slice(from, i), ...high.slice(from, i).reverse(), null);
        other.push(...y.slice(from, i), ...y.slice(from, i).reverse(), null);
        from = null;
      }
    }
    return { type: "scatter", mode: "lines", x: flip ? other : x, y: flip ? x : other, fill: "toself", fillcolor, line: { width: 0 }, hoverinfo: "skip" };
  }

  const interpolate = (x, y, at) => {
    const i = x.findIndex((v) => v >= at);
    return i <= 0 || y[i] === null ? y[Math.max(0, i)] : y[i - 1] + ((y[i] - y[i - 1]) * (at - x[i - 1])) / (x[i] - x[i - 1]);
  };

  // The head

  document.getElementById("title").textContent = data.title;
  document.getElementById("sentence").append(...rich(data.sentence));
  const state = data.status, left = state.total - state.done - state.failed;
  const chip = (value, label, warn) => document.getElementById("chips").append(el("li", { class: warn ? "warn" : null }, el("b", {}, value), el("span", {}, label)));
  chip(state.done.toLocaleString("en"), `of ${many(state.total, "point")} measured`);
  if (left > 0) chip(left.toLocaleString("en"), state.running > 0 ? `to go, ${state.running.toLocaleString("en")} of them under way` : "not measured", true);
  if (state.diverged) chip(state.diverged.toLocaleString("en"), "diverged (measured: they retain nothing)");
  if (state.failed) chip(state.failed.toLocaleString("en"), "failed", true);
  if (data.damaged.length) chip(data.damaged.length.toLocaleString("en"), data.damaged.length === 1 ? "file left out" : "files left out", true);
  if (state.boundary_error !== null) chip(share(state.boundary_error), "of the range expected on the wrong side of the boundary");
  if (data.cost.elapsed) chip(data.cost.elapsed, "from the first point to the last");

  const differ = data.settings.filter((s) => !s[2]), same = data.settings.filter((s) => s[2]);
  const pairs = (rows) => table(["option", "value"], rows.map((r) => [r[0], r[1]]), ["", "text"]);
  section("summary", "Summary",
    el("div", { class: "pair" },
      el("div", {}, el("h3", {}, "The sweep"),
        differ.length ? pairs(differ) : text("All options have their defaults.", true),
        el("details", {}, el("summary", {}, `${many(same.length, "option")} with ${same.length === 1 ? "its default" : "their defaults"}`), pairs(same))),
      el("div", {}, el("h3", {}, "Where and with what"),
        table(null, [["directory", data.place], ["written", data.written], ...data.versions], ["", "text"]),
        text("Versions are those of the machine that wrote this page.", true))));

  // The phase diagram and the point chosen in it

  const free = new Set(data.free), through = data.through_depth, byHorizon = data.needed !== null;
  const depthOf = (name) => data.axes[name];
  const detail = el("aside", { class: "detail", "aria-label": "The chosen point" });
  const views = el("div", {});
  const phaseSection = section("phase", "Phase diagram");
  if (data.all_points > count) phaseSection.append(text(`Marks, rows and profiles are those of ${many(count, "point")} of ${data.all_points.toLocaleString("en")}, drawn at random${state.failed ? " with failed ones among them" : ""}; colours and lines are estimated from all.`, true));
  phaseSection.append(el("div", { class: "columns" }, views, detail));

  function slider(label, values, start, show, changed) {
    if (values.length < 2) return [null, () => 0];
    const id = `slider-${label}`;
    const input = el("input", { type: "range", id, min: 0, max: values.length - 1, step: 1, value: start });
    const output = el("output", { for: id });
    const say = () => { output.textContent = show(values[input.value]); input.setAttribute("aria-valuetext", show(values[input.value])); };
    let waiting = false;
    input.addEventListener("input", () => {
      say();
      if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; changed(); }); }
    });
    say();
    return [el("div", { class: "slider" }, el("label", { for: id }, rich(SYMBOLS[label])), input, output), () => Number(input.value)];
  }

  function view(name, title, caption, items, control, draw) {
    const node = el("div", { class: "plot", id: name, tabindex: 0, "aria-describedby": `${name}-help` });
    views.append(el("figure", {}, el("h3", {}, rich(title)), control, node, legend(items, true), el("figcaption", { id: `${name}-help` }, rich(caption), " Click a point, or step with the arrow keys, to see its row and profile.")));
    const chart = plot(node, title.replace(/_/g, ""), draw, () => node.on("plotly_click", (event) => {
      const hit = event.points.find((p) => Number.isInteger(p.customdata));
      if (hit) choose(hit.customdata);
    }));
    node.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step && count) { event.preventDefault(); next(step); }
    });
    return chart;
  }

  const MARKS = [["measured: predicted trainable", { mark: "circle", colour: WHITE, edge: BLACK }], ["not", { mark: "circle", colour: BLACK, edge: WHITE }], state.failed ? ["failed", { mark: "cross", colour: RED }] : null];
  const hasLine = data.critical.measured.sigma_b.length > 0, hasTheory = data.critical.theory !== null;
  const LINES = [P && P.boundary ? ["boundary", { line: WHITE }] : null, P && P.boundary ? ["its 90 % interval", { fill: WHITE, opacity: 0.4 }] : null,
    hasLine ? ["critical line, measured, and its 90 % interval", { line: BLACK, fill: BLACK }] : null, hasTheory ? ["mean field, χ_1 = 1", { line: RED, dash: "5 3" }] : null];
  const margin = (d, b, w, depth) => (through ? P.margin[0][b][w] + Math.log(P.grid_depths[0] / depth) : P.margin[d][b][w]);
  const bar = (c, title, more) => ({ thickness: 12, outlinewidth: 0, title: { text: title, side: "right", font: { size: 12 } }, tickcolor: c.quiet, ...more });
  const ticksOf = (low, high) => [-4, -3, -2, -1, 0, 1, 2, 3].flatMap((e) => [1, 1.5, 2, 3, 5].map((m) => Number((m * 10 ** e).toPrecision(2)))).filter((t) => t >= low * 0.999 && t <= high * 1.001);

  function heat(c, x, y, z, low, high, label, ticks) {
    return { type: "heatmap", x, y, z, zmin: low, zmax: high, zsmooth: "best", colorscale: SCALE, colorbar: bar(c, label, ticks ? { tickvals: ticks.map(Math.log10), ticktext: ticks.map(String) } : {}), hoverinfo: "skip" };
  }

  function ends(index, across) {
    const found = [], B = P.boundary;
    if (!B) return found;
    const take = (values) => (across ? values.map((row) => row[index]) : values[index]);
    const y = across ? P.depths : P.sigma_b;
    for (const end of ["lower", "upper"]) {
      found.push(band(take(B[`${end}_5`]), take(B[`${end}_95`]), y, "rgba(255,255,255,0.3)"));
      found.push(path(take(B[end]), y, WHITE, 2.2));
    }
    return found;
  }

  const critical = data.critical.measured, theory = data.critical.theory;
  const halo = (x, y) => [path(x, y, "rgba(255,255,255,0.55)", 5), path(x, y, BLACK, 2.6)];

  if (free.has("sigma_w") && free.has("sigma_b")) {
    const depths = P ? P.depths : [];
    const [control, at] = slider("depth", depths, Math.floor((depths.length * 2) / 3), (d) => many(d, "layer"), () => one.draw());
    let range = [0, 1];
    if (P) {
      const all = P.margin.flatMap((plane, d) => plane.flat().map((m) => (byHorizon ? Math.max(Math.log10(0.5), Math.log10(data.needed * P.grid_depths[d]) + m / Math.LN10) : m)));
      range = byHorizon ? [lowest(all), Math.max(highest(all), lowest(all) + 0.05)] : [-1, 1].map((s) => s * Math.max(highest(all), -lowest(all), 1e-6));
    }
    const what = !P ? "Too few points for a boundary." : byHorizon ? `Colour: the layers after which the image is lost.${through ? " It does not depend on the depth of a network; which of them can be trained does." : ""}` : "Colour: the margin; 0 or more is predicted trainable.";
    const fixed = depths.length > 1 ? " at the depth of the slider" : "";
    const one = view("plane", `σ_w and σ_b${fixed || (free.has("depth") ? "" : `, ${many(data.axes.depth[0], "layer")}`)}`, what + (through && fixed ? ` White marks would be trainable${fixed}.` : ""), [...LINES, ...MARKS], control, (c) => {
      const i = at(), depth = depths[i], traces = [];
      if (P) {
        const d = through ? 0 : i;
        const z = P.margin[d].map((row) => row.map((m) => (byHorizon ? Math.max(Math.log10(data.needed * P.grid_depths[d]) + m / Math.LN10, range[0]) : m)));
        traces.push(heat(c, P.sigma_w, P.sigma_b, z, range[0], range[1], byHorizon ? "horizon (layers)" : "margin", byHorizon ? ticksOf(10 ** range[0], 10 ** range[1]) : null));
        traces.push(...ends(i, false));
      }
      if (hasLine) traces.push(band(critical.lower, critical.upper, critical.sigma_b, "rgba(0,0,0,0.3)"), ...halo(critical.sigma_w, critical.sigma_b));
      if (theory) traces.push(path(theory.sigma_w, theory.sigma_b, RED, 2.2, "6px,4px"));
      const good = (k) => (through && P ? points.margin[k] + Math.log(points.depth[k] / depth) : points.margin[k]) >= 0;
      const near = !through && depths.length > 1 ? (k) => Math.abs(Math.log(points.depth[k] / depth)) < 0.35 : null;
      return [[...traces, ...marks("sigma_w", "sigma_b", good, near)], layout(c, { title: NAMES.sigma_w, range: data.axes.sigma_w, showgrid: !P }, { title: NAMES.sigma_b, range: data.axes.sigma_b, showgrid: !P })];
    });
  }

  if (free.has("depth") && free.size > 1) {
    const x = free.has("sigma_w") ? "sigma_w" : "sigma_b", both = free.has("sigma_w") && free.has("sigma_b");
    const values = both && P ? P.sigma_b : [];
    const [control, at] = slider("sigma_b", values, Math.floor(values.length / 2), (b) => number(b, 3), () => two.draw());
    const [shallow, deep] = depthOf("depth");
    const levels = P ? (through ? Array.from({ length: 60 }, (_, i) => shallow + ((deep - shallow) * i) / 59) : P.depths) : [];
    const limit = P ? Math.min(2.5, Math.max(...P.margin.map((plane) => plane.map((row) => row.map((m) => Math.abs(m)).reduce((a, b) => Math.max(a, b))).reduce((a, b) => Math.max(a, b))), 0.1)) : 1;
    const width = (data.axes.sigma_b[1] - data.axes.sigma_b[0]) / 10;
    const title = both ? `σ_w and depth${P ? " at the σ_b of the slider" : ""}` : x === "sigma_w" ? `σ_w and depth, σ_b = ${number(data.axes.sigma_b[0])}` : `σ_b and depth, σ_w = ${number(data.axes.sigma_w[0])}`;
    const items = [P && !P.boundary ? ["boundary", { line: WHITE }] : null, ...LINES.map((l, i) => (x === "sigma_b" && i > 1 ? null : l)), ...MARKS];
    const two = view("depths", title, (P ? "Colour: the margin; 0 or more is predicted trainable." : "Too few points for a boundary.") + (values.length > 1 ? " Points at other σ_b are faint." : ""), items, control, (c) => {
      const j = at(), traces = [], across = x === "sigma_w" ? P && P.sigma_w : P && P.sigma_b;
      if (P) {
        const z = levels.map((depth, d) => across.map((_, k) => (x === "sigma_w" ? margin(d, j, k, depth) : margin(d, k, 0, depth))));
        traces.push(heat(c, across, levels, z, -limit, limit, "margin"), ...ends(j, true));
        if (!P.boundary) traces.push({ type: "contour", x: across, y: levels, z, showscale: false, hoverinfo: "skip", contours: { start: 0, end: 0, size: 1, coloring: "none" }, line: { color: WHITE, width: 2.2 } });
      }
      if (x === "sigma_w" && (P || !both)) {
        const y = [shallow, deep];
        if (hasLine) traces.push(band([critical.lower[j], critical.lower[j]], [critical.upper[j], critical.upper[j]], y, "rgba(0,0,0,0.3)"), ...halo([critical.sigma_w[j], critical.sigma_w[j]], y));
        if (theory) { const t = interpolate(theory.sigma_b, theory.sigma_w, values.length ? values[j] : data.axes.sigma_b[0]); traces.push(path([t, t], y, RED, 2.2, "6px,4px")); }
      }
      const near = values.length > 1 ? (k) => Math.abs(points.sigma_b[k] - values[j]) <= width : null;
      return [[...traces, ...marks(x, "depth", (k) => points.margin[k] >= 0, near)], layout(c, { title: NAMES[x], range: data.axes[x], showgrid: !P }, { title: NAMES.depth, range: depthOf("depth"), showgrid: !P })];
    });
  }

  if (free.size === 1) {
    const [x] = free;
    const L = data.line;
    view("along", `Margin along ${SYMBOLS[x]}`, L ? "0 or more is predicted trainable." : "Too few points for a boundary. A margin of 0 or more is predicted trainable.", [L ? ["estimate, and its 90 % interval", { line: "#64b5f0", fill: "#64b5f0" }] : null, x === "sigma_w" && theory ? ["mean field, χ_1 = 1", { line: "#ff7b93", dash: "5 3" }] : null, ...MARKS], null, (c) => [
      [...(L ? [band(L.low, L.high, L.x, "rgba(0,114,178,0.25)", true), path(L.x, L.mean, c.blue, 2.4)] : []), path(data.axes[x], [0, 0], c.quiet, 1),
        ...(x === "sigma_w" && theory ? [{ ...path([theory.sigma_w[0], theory.sigma_w[0]], [0, 1], c.theory, 2, "6px,4px"), yaxis: "y2" }] : []),
        ...marks(x, points.margin ? "margin" : "depth", (k) => points.margin[k] >= 0)],
      layout(c, { title: NAMES[x], range: data.axes[x] }, { title: "margin" }, { yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true } })]);
  }

  const KINDS = [["direct_retained", "direct probe", "blue", "direct_horizon", "solid"], ["cascade_retained", "cascade", "orange", "cascade_horizon", "dash"]].filter((k) => data.profiles[k[0]]);
  function curves(c, indices, labelled) {
    const traces = indices.flatMap((i) => KINDS.filter((k) => data.profiles[k[0]][i]).map(([name, label, colour, , dash]) => {
      const [layers, values] = data.profiles[name][i];
      return { type: "scatter", mode: layers.length > 30 || indices.length > 1 ? "lines" : "lines+markers", x: layers, y: values, line: { color: c[colour], width: 2, dash }, marker: { size: 5, color: c[colour] }, opacity: indices.length > 20 ? 0.4 : 1, hovertemplate: `layer %{x}: %{y:.3f}<extra>${labelled ? label : ""}</extra>` };
    }));
    const last = Math.max(...indices.flatMap((i) => KINDS.map((k) => (data.profiles[k[0]][i] ? data.profiles[k[0]][i][0].at(-1) : 1))), 2);
    for (const [, , colour, horizon] of KINDS) traces.push(path([1, last], [data.thresholds[horizon], data.thresholds[horizon]], c[colour], 1, "dot"));
    return [traces, layout(c, { title: "layer", range: [0.5, last + 0.5] }, { title: "retained information" }, { hovermode: "closest" })];
  }
  const profileLegend = () => legend([...KINDS.map((k) => [k[1], { line: ink(k[2]), dash: k[4] === "dash" ? "5 3" : null }]), ["threshold of the horizon", { line: ink("quiet"), dash: "2 2" }]]);
  const drawn = Array.from({ length: count }, (_, i) => i).filter((i) => KINDS.some((k) => data.profiles[k[0]][i]));

  if (!free.size && drawn.length) {
    const node = el("div", { class: "plot", id: "replicas" });
    views.append(el("figure", {}, el("h3", {}, "What is left after each layer"), node, profileLegend(), el("figcaption", {}, "1: the image is perfectly reconstructed; 0: no better than the mean image. One curve for each network.")));
    plot(node, "Retained information after each layer", (c) => curves(c, drawn.slice(0, 200), true));
  }

  // The chosen point

  const order = Array.from({ length: count }, (_, i) => i).sort((a, b) => points.sigma_w[a] - points.sigma_w[b] || points.sigma_b[a] - points.sigma_b[b] || points.depth[a] - points.depth[b]);
  const position = el("span", { "aria-live": "polite" }), rows = el("div", {}), figure = el("div", { class: "plot small", id: "profile" }), figureBox = el("div", {}), commandBox = el("div", {}), missing = el("p", { class: "quiet" });
  const profile = plot(figure, "Retained information after each layer of the chosen point", (c) => curves(c, chosen === null ? [] : [chosen], false));

  function next(step) {
    const now = chosen === null ? (step > 0 ? -1 : count) : order.indexOf(chosen);
    choose(order[(now + step + count) % count]);
  }

  async function copy(code, button) {
    try { await navigator.clipboard.writeText(code.textContent); } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  // Reconstructions of the point, or of the nearest one that has any.
  const R = data.reconstructions, nearness = (name) => (name === "depth" ? Math.log : (v) => v);
  function away(i, k) {
    return Object.entries(data.axes).reduce((sum, [name, ends]) => {
      const f = nearness(name), long = f(ends[1]) - f(ends[0]) || 1;
      return sum + ((f(points[name][i]) - f(points[name][k])) / long) ** 2;
    }, 0);
  }
  function pictures(i) {
    if (!R.at.length) return [el("h3", {}, "Its reconstructions"), R.why_not ? text(`None are shown: ${R.why_not}`, true) : ""];
    const best = R.at.reduce((a, k, n) => (away(i, k) < away(i, R.at[a]) ? n : a), 0), k = R.at[best], own = k === i;
    const say = (n) => number(points[n][k]);
    const where = own ? "" : el("p", { class: "quiet" }, rich(`Of the nearest network that was measured again: σ_w ${say("sigma_w")}, σ_b ${say("sigma_b")}, depth ${say("depth")}. `), el("button", { type: "button", id: "nearest", onclick: () => choose(k) }, "Show it"));
    const tiles = R.images[best].map((source, n) => el("span", {}, el("img", { src: source, alt: n ? `What is left of it after layer ${R.layers[best][n - 1]}` : "A test image" }), el("small", {}, n ? String(R.layers[best][n - 1]) : "image")));
    return [el("h3", {}, own ? "Its reconstructions" : "Reconstructions nearby"), where, el("div", { class: "tiles", id: "tiles" }, tiles), text("A test image, and what linear decoders give back of it after so many layers, each in its own range from black to white.", true)];
  }

  function choose(i) {
    chosen = i;
    position.textContent = `Point ${order.indexOf(i) + 1} of ${count.toLocaleString("en")}`;
    const names = Object.keys(points).filter((n) => points[n][i] !== null && points[n][i] !== "");
    const shown = (n) => (n === "finished" ? new Date(points[n][i] * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC" : typeof points[n][i] === "boolean" ? (points[n][i] ? "yes" : "no") : String(points[n][i]));
    rows.replaceChildren(el("details", { open: "" }, el("summary", {}, "Row"), el("table", { id: "row" }, el("tbody", {}, names.map((n) => el("tr", {}, el("th", { scope: "row", title: data.meaning[n] || "" }, n), el("td", {}, shown(n))))))));
    const has = KINDS.some((k) => data.profiles[k[0]][i]);
    missing.textContent = has ? "" : "This point has no profile.";
    profile.draw();
    const p = (n) => String(points[n][i]);
    const code = el("pre", { id: "command", tabindex: 0 }, `${data.command} --sigma-w ${p("sigma_w")} --sigma-b ${p("sigma_b")} --depth ${p("depth")} --seed ${p("seed")} --images-out point.png`);
    const button = el("button", { type: "button", id: "copy", onclick: () => copy(code, button) }, "Copy");
    commandBox.replaceChildren(...pictures(i), text("This measures the point again, trains it, and draws reconstructions of more images, before and after:", true), code, button);
    for (const chart of charts) if (["plane", "depths", "along"].includes(chart.node.id)) chart.draw();
  }

  if (count) {
    figureBox.append(el("h3", {}, "What is left after each layer"), figure, missing, profileLegend());
    detail.append(el("div", { class: "steps" }, position, el("button", { type: "button", id: "previous", "aria-label": "Previous point", onclick: () => next(-1) }, "‹"), el("button", { type: "button", id: "next", "aria-label": "Next point", onclick: () => next(1) }, "›")), figureBox, commandBox, rows);
    choose(order.reduce((best, i) => ((points.margin ? points.margin[i] ?? -Infinity : 0) > (points.margin ? points.margin[best] ?? -Infinity : 0) ? i : best)));
  } else {
    detail.remove();
    charts.splice(charts.indexOf(profile), 1);
    if (!views.childNodes.length) views.append(text("No point has been measured yet."));
  }

  // The critical line

  const criticalSection = section("critical", "Critical line against theory");
  if (!hasLine) criticalSection.append(text(free.has("sigma_w") ? "Too few points for a critical line." : "σ_w is fixed: there is no critical line to find."));
  else {
    criticalSection.append(text(`Where ${byHorizon ? "information travels deepest" : "the score is largest"}, as measured, and where mean field theory of infinite width puts it.${data.critical.apart === null ? "" : ` On average they are ${number(data.critical.apart, 2)} apart in σ_w.`}${hasTheory ? "" : " There is no such theory for this architecture."}`));
    const node = el("div", { class: "plot middle", id: "line" });
    criticalSection.append(el("figure", {}, node, legend([["measured, and its 90 % interval", { line: ink("blue"), fill: ink("blue") }], hasTheory ? ["mean field, χ_1 = 1", { line: ink("theory"), dash: "5 3" }] : null])));
    plot(node, "Critical sigma_w over sigma_b", (c) => {
      const alone = critical.sigma_b.length === 1;
      const own = { type: "scatter", mode: alone ? "markers" : "lines", x: critical.sigma_b, y: critical.sigma_w, line: { color: c.blue, width: 2.6 }, marker: { size: 10, color: c.blue }, customdata: critical.lower.map((v, i) => [v, critical.upper[i]]), hovertemplate: "σ<sub>b</sub> %{x:.3f}: σ<sub>w</sub> %{y:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>" };
      if (alone) own.error_y = { type: "data", symmetric: false, array: [critical.upper[0] - critical.sigma_w[0]], arrayminus: [critical.sigma_w[0] - critical.lower[0]], color: c.blue, thickness: 2 };
      const traces = [band(critical.lower, critical.upper, critical.sigma_b, "rgba(0,114,178,0.25)", true), own];
      if (theory) traces.push({ ...path(theory.sigma_b, theory.sigma_w, c.theory, 2.2, "6px,4px"), mode: alone ? "markers" : "lines", marker: { size: 10, color: c.theory, symbol: "diamond-open" }, hoverinfo: undefined, hovertemplate: "mean field: σ<sub>w</sub> %{y:.3f}<extra></extra>" });
      return [traces, layout(c, { title: NAMES.sigma_b }, { title: "critical σ<sub>w</sub>" })];
    });
  }

  // Horizon against depth

  const horizonSection = section("horizon", "Horizon against depth");
  const horizon = ["direct_horizon", "cascade_horizon"].filter((n) => points[n] && points[n].some((v) => v !== null));
  if (!horizon.length) horizonSection.append(text("No horizon has been measured."));
  else {
    const name = horizon.includes(data.statistic) ? data.statistic : horizon[0], needed = data.needs[name];
    horizonSection.append(text(`The layer after which less than ${number(data.thresholds[name])} of the image's information is retained (${name.replace("_", " ")}), for networks of each depth. On or above the line a network is predicted trainable: its horizon is at least ${needed === 1 ? "its depth" : `${needed} times its depth`}.`));
    const node = el("div", { class: "plot middle", id: "reach" });
    horizonSection.append(el("figure", {}, node, legend([["predicted trainable", { mark: "circle", colour: ink("blue") }], ["not", { mark: "circle", colour: ink("orange") }], ["at least: the end of what the probe saw", { mark: "triangle", colour: ink("blue") }], [`horizon = ${needed === 1 ? "depth" : `${needed} × depth`}`, { line: ink("quiet"), dash: "5 3" }]])));
    plot(node, "Horizon over depth", (c) => {
      const which = Array.from({ length: count }, (_, i) => i).filter((i) => points[name][i] !== null);
      const ahead = (i) => points[name][i] >= needed * points.depth[i], censored = (i) => points[`${name}_censored`] && points[`${name}_censored`][i];
      const span = [lowest(points.depth), highest(points.depth)];
      const values = which.map((i) => Math.max(points[name][i], 0.1));
      const dots = { type: "scatter", mode: "markers", x: which.map((i) => points.depth[i]), y: values, text: which.map((i) => hovers[i]), hoverinfo: "text", cliponaxis: false, marker: { size: count > 300 ? 5 : 7, opacity: count > 300 ? 0.6 : 0.9, color: which.map((i) => (ahead(i) ? c.blue : c.orange)), symbol: which.map((i) => (censored(i) ? "triangle-up" : "circle")) } };
      const ticks = ticksOf(lowest([...values, needed * span[0]]) / 1.5, highest([...values, needed * span[1]]) * 1.5);
      const along = Array.from({ length: 50 }, (_, i) => span[0] + ((span[1] - span[0]) * i) / 49);
      return [[path(along, along.map((d) => d * needed), c.quiet, 2, "6px,4px"), dots], layout(c, { title: NAMES.depth }, { title: "horizon (layers)", type: "log", tickvals: ticks, ticktext: ticks.map(String) })];
    });
  }

  // Prediction against truth

  const T = data.truth, truthSection = section("truth", "Prediction against truth");
  if (!T) truthSection.append(text("No network was trained in this sweep. sweep run --train boundary (or all) trains them, and says how right the probes were."));
  else {
    truthSection.append(text(`${many(T.trained, "network")} ${T.trained === 1 ? "was" : "were"} trained; ${T.trainable.toLocaleString("en")} came above an accuracy of ${number(T.level, 3)}.${T.compared && T.compared < T.trained ? ` Compared here: ${T.compared.toLocaleString("en")} of them, drawn at random.` : ""}`));
    if (T.why_not) truthSection.append(text(`There is no comparison yet: ${T.why_not}`));
    else {
      const left = el("div", { class: "plot middle", id: "scores" }), right = el("div", { class: "plot middle", id: "roc" });
      const palette = ["blue", "orange", "green", "purple"], dashes = ["solid", "6px,4px", "2px,3px", "8px,3px,2px,3px"], names = [T.default, ...Object.keys(T.roc).filter((n) => n !== T.default)];
      const style = (i) => [palette[i % 4], dashes[Math.floor(i / 4) % 4 || (names[i] === "xi_c" || names[i] === "chi_1" ? 1 : 0)]];
      truthSection.append(el("div", { class: "pair" },
        el("figure", {}, el("h3", {}, "What training gave"), left, legend([["trained", { mark: "circle", colour: ink("blue") }], ["not", { mark: "circle", colour: ink("orange") }]]), el("figcaption", {}, `Accuracy over the score of ${T.default}: ${T.meaning[T.default]}. To the right of 0 a network is predicted trainable; above the line it was trained.`)),
        el("figure", {}, el("h3", {}, "ROC"), right, legend(names.map((n, i) => [`${n}, AUC ${places(T.table[n].auc)}`, { line: ink(style(i)[0]), dash: style(i)[1] === "solid" ? null : "4 3" }])), el("figcaption", {}, "Share of the trained networks that are recognised, over the share of the others that are taken for trained, at every threshold."))));
      const interval = (r, n) => (r[n] === null ? "–" : `${places(r[n])} [${places(r[`${n}_5`])}, ${places(r[`${n}_95`])}]`);
      truthSection.append(table(["statistic", "AUC", "hard half", "accuracy", "IoU", "distance", "Brier"], Object.entries(T.table).map(([n, r]) => [n === T.default ? `${n} (drives the sweep)` : n, interval(r, "auc"), interval(r, "auc_hard"), places(r.accuracy, 2), interval(r, "iou"), places(r.distance, 2), places(r.brier, 2)]), ["", ...Array(6).fill("number")]),
        text("In brackets 5 % to 95 %. Hard half: the points nearest to the true boundary. Accuracy: at the default threshold. IoU: of the predicted region and the true one. Distance: in σ_w, along the boundary.", true));
      plot(left, "Accuracy over score", (c) => {
        const x = [Math.min(0, lowest(T.score)), Math.max(0, highest(T.score))], y = [0, 1];
        return [[path(x, [T.level, T.level], c.quiet, 1.5, "6px,4px"), path([0, 0], y, c.quiet, 1.5, "6px,4px"), { type: "scatter", mode: "markers", x: T.score, y: T.accuracy, customdata: T.depth, hovertemplate: "score %{x:.3f}, accuracy %{y:.3f}, depth %{customdata}<extra></extra>", cliponaxis: false, marker: { size: T.score.length > 400 ? 5 : 7, color: T.above.map((t) => (t ? c.blue : c.orange)) } }], layout(c, { title: "score" }, { title: "accuracy after training", range: [0, 1.02] })];
      });
      plot(right, "ROC curves", (c) => [[path([0, 1], [0, 1], c.rule, 1.5), ...names.slice().reverse().map((n) => { const i = names.indexOf(n), [colour, dash] = style(i); return { type: "scatter", mode: "lines", x: T.roc[n][0], y: T.roc[n][1], name: n, line: { color: c[colour], width: i ? 1.6 : 3, dash }, hovertemplate: `${n}<br>%{y:.0%} recognised, %{x:.0%} wrongly<extra></extra>` }; })], layout(c, { title: "wrongly taken for trained", range: [-0.02, 1], tickformat: ".0%" }, { title: "recognised", range: [0, 1.02], tickformat: ".0%" })]);
    }
  }

  // The search

  const H = data.history, historySection = section("history", "Search history");
  if (!H) historySection.append(text(free.size ? "Too few points for a boundary." : "No axis is free: there is no boundary to find."));
  else {
    const first = H.error[0], last = H.error.at(-1);
    historySection.append(text(`How much of the range is expected to be on the wrong side of the boundary, by the account of a model of the points that had been measured by then (search: ${H.search}). It went from ${share(first)} after ${many(H.points[0], "point")} to ${share(last)} after ${many(H.points.at(-1), "point")}.`));
    const node = el("div", { class: "plot middle", id: "errors" });
    historySection.append(el("figure", {}, node, legend([["expected error", { line: ink("blue") }], H.until ? ["where the sweep was told to stop", { line: ink("quiet"), dash: "5 3" }] : null])));
    plot(node, "Expected error of the boundary over the number of points", (c) => {
      const percent = H.error.map((e) => 100 * e), ticks = ticksOf(lowest(percent) / 1.5, highest(percent) * 1.5), x = [1, 2, 3, 5].flatMap((m) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6].map((e) => m * e)).filter((v) => v >= H.points[0] / 1.2 && v <= H.points.at(-1) * 1.2);
      const traces = [{ type: "scatter", mode: "lines+markers", x: H.points, y: percent, customdata: H.seconds, line: { color: c.blue, width: 2.4 }, marker: { size: 7 }, hovertemplate: "%{x} points, %{customdata:.3~s} s after the first: %{y:.3g} %<extra></extra>" }];
      if (H.until) traces.push(path([H.points[0], H.points.at(-1)], [100 * H.until, 100 * H.until], c.quiet, 2, "6px,4px"));
      return [traces, layout(c, { title: "points measured", type: "log", tickvals: x, ticktext: x.map((v) => v.toLocaleString("en")) }, { title: "expected error (% of the range)", ...(ticks.length > 1 ? { type: "log", tickvals: ticks, ticktext: ticks.map(String) } : { rangemode: "tozero" }) })];
    });
  }

  // Costs and failures

  const costSection = section("cost", "Cost");
  if (!data.cost.kinds.length) costSection.append(text("Nothing has been measured yet."));
  else {
    costSection.append(table(["", "points", "each", "together", "operations (estimated)"], data.cost.kinds.map(([n, k, each, all, flops]) => [n, k.toLocaleString("en"), each || "–", all || "–", operations(flops)]), ["", ...Array(4).fill("number")]),
      table(["host", "device", "points", "busy", "points a second"], data.cost.hosts.map(([h, d, k, busy, rate]) => [el("span", {}, h || "–"), el("span", {}, d || "–"), k.toLocaleString("en"), busy || "–", number(rate)]), ["", "", "number", "number", "number"]));
    if (data.cost.all_hosts > data.cost.hosts.length) costSection.append(text(`${data.cost.hosts.length} of ${data.cost.all_hosts} are shown.`, true));
    costSection.append(text(`${data.cost.rate ? `${number(data.cost.rate, 3)} points a second in all, from the first to the last. ` : ""}Points a second count pauses as time, and busy is the time of probes and trainings.`, true));
  }

  const failures = section("failures", "Failures");
  if (!data.failures.rows.length && !data.damaged.length && !data.set_aside.length) failures.append(text("No point failed, and no file is damaged."));
  if (data.failures.rows.length) {
    failures.append(table(["points", "error", "for example", "on"], data.failures.rows.map(([error, k, p, host]) => [k.toLocaleString("en"), el("span", {}, error), `σ_w ${number(p[0])}, σ_b ${number(p[1])}, depth ${p[2]}, seed ${p[3]}`, el("span", {}, host)]), ["number", "text", "", ""]));
    if (data.failures.kinds > data.failures.rows.length) failures.append(text(`The most frequent ${data.failures.rows.length} of ${data.failures.kinds} errors are shown.`, true));
  }
  if (data.damaged.length) failures.append(el("h3", {}, "Files left out"), table(["file", "why"], data.damaged.map(([n, why]) => [el("span", {}, n), el("span", {}, why)]), ["", "text"]));
  if (data.set_aside.length) failures.append(el("h3", {}, "Files set aside before"), el("ul", {}, data.set_aside.map((n) => el("li", {}, n))));

  document.getElementById("footer").append(text(`Written ${data.written} by sweep report. This page fetches nothing and sends nothing.`, true));

  // A chart is drawn when it comes near the window: the page opens at once, however much there is in it.
  const waiting = new Map(charts.map((chart) => [chart.node, chart]));
  const begin = (node) => { const chart = waiting.get(node); waiting.delete(node); if (chart) chart.begin(); };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); begin(entry.target); }
    root.dataset.ready = Math.round(performance.now());
  }, { rootMargin: "300px" });
  for (const node of waiting.keys()) near.observe(node);
  if (!waiting.size) root.dataset.ready = Math.round(performance.now());
  addEventListener("beforeprint", () => { for (const node of [...waiting.keys()]) begin(node); });
})();
