// The sections of the page, and the code that builds the page.

function head() {
  document.getElementById("title").textContent = data.title;
  document.getElementById("sentence").append(...rich(data.sentence));
  const { total, done, failed, running, diverged, boundary_error: error } = data.status;
  const left = total - done - failed;
  const damaged = data.damaged.length;
  const chips = [
    [whole(done), `of ${many(total, "point")} measured`],
    left > 0 && [
      whole(left),
      running > 0 ? `not measured yet, ${whole(running)} of them running` : "not measured",
      true,
    ],
    diverged && [whole(diverged), "diverged (measured; nothing is retained)"],
    failed && [whole(failed), "failed", true],
    damaged && [whole(damaged), damaged === 1 ? "file left out" : "files left out", true],
    error !== null && [share(error), "of the range expected to be on the wrong side of the boundary"],
    data.cost.elapsed && [data.cost.elapsed, "between the first point and the last"],
  ];
  const chip = ([value, label, warn]) =>
    el("li", { class: warn ? "warn" : null }, el("b", {}, value), el("span", {}, label));
  document.getElementById("chips").append(...chips.filter(Boolean).map(chip));
}

function summarySection() {
  const differ = data.settings.filter(([, , isDefault]) => !isDefault);
  const same = data.settings.filter(([, , isDefault]) => isDefault);
  const options = (rows) =>
    table(
      ["option", "value"],
      rows.map(([name, value]) => [name, value]),
      ["", "text"],
    );
  const defaults = `${many(same.length, "option")} with ${same.length === 1 ? "its default value" : "their default values"}`;
  const facts = [["directory", data.place], ["written", data.written], ...data.versions];
  const left = [
    heading("The sweep"),
    differ.length ? options(differ) : remark("All options have their default values."),
    el("details", {}, el("summary", {}, defaults), options(same)),
  ];
  const right = [
    heading("Location and versions"),
    table(null, facts, ["", "text"]),
    remark("Versions are those of the machine that wrote this page."),
  ];
  section("summary", "Summary", el("div", { class: "pair" }, el("div", {}, left), el("div", {}, right)));
}

function criticalSection() {
  const node = section("critical", "Critical line against theory");
  if (!hasLine) {
    const fixed = "σ_w is fixed: there is no critical line to find.";
    node.append(paragraph(free.has("sigma_w") ? "Too few points for a critical line." : fixed));
    return;
  }
  const meanDistance = data.critical.apart;
  const sentences = [
    `The σ_w at which ${data.optimum}, as measured and by mean field theory of infinite width.`,
    further.length ? ` Measured at ${placeText(further, (name) => data.middle[name])}.` : "",
    meanDistance === null ? "" : ` On average they differ by ${number(meanDistance, 2)}.`,
    theory ? "" : " There is no such theory for this architecture.",
  ];
  const [chart, plotNode] = figure("line", [
    ["measured, with its 90 % interval", { line: ink("blue"), fill: ink("blue") }],
    theory ? ["mean field, χ_1 = 1", { line: ink("theory"), dash: "5 3" }] : null,
  ]);
  node.append(paragraph(sentences.join("")), chart);
  plot(plotNode, "Critical sigma_w over sigma_b", (c) => {
    const interval = band(critical.lower, critical.upper, critical.sigma_b, "rgba(0,114,178,0.25)", true);
    const traces = [interval, measuredLine(c), ...(theory ? [theoryLine(c)] : [])];
    return [traces, layout(c, { title: NAMES.sigma_b }, { title: "critical σ<sub>w</sub>" })];
  });
}

// A line; a mark where σ_b is fixed
const lineMode = () => (critical.sigma_b.length === 1 ? "markers" : "lines");

function measuredLine(c) {
  const { sigma_w: middle, sigma_b: x, lower, upper } = critical;
  const bars = {
    type: "data",
    symmetric: false,
    array: [upper[0] - middle[0]],
    arrayminus: [middle[0] - lower[0]],
    color: c.blue,
    thickness: 2,
  };
  return {
    type: "scatter",
    mode: lineMode(),
    x,
    y: middle,
    line: { color: c.blue, width: 2.6 },
    marker: { size: 10, color: c.blue },
    customdata: lower.map((v, i) => [v, upper[i]]),
    hovertemplate:
      "σ<sub>b</sub> %{x:.3f}: σ<sub>w</sub> %{y:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
    ...(x.length === 1 ? { error_y: bars } : {}),
  };
}

const theoryLine = (c) => ({
  ...path(theory.sigma_b, theory.sigma_w, c.theory, 2.2, DASHED),
  mode: lineMode(),
  marker: { size: 10, color: c.theory, symbol: "diamond-open" },
  hoverinfo: undefined,
  hovertemplate: "mean field: σ<sub>w</sub> %{y:.3f}<extra></extra>",
});

function horizonSection() {
  const node = section("horizon", "Horizon against depth");
  const known = Object.keys(data.needs).filter((n) => points[n] && points[n].some((v) => v !== null));
  if (!known.length) {
    node.append(paragraph("No horizon has been measured."));
    return;
  }
  const name = known.includes(data.statistic) ? data.statistic : known[0];
  const needed = data.needs[name];
  const depth = needed === 1 ? "its depth" : `${number(needed, 3)} times its depth`;
  const word = data.names[name];
  const [chart, plotNode] = figure("reach", [
    ["predicted trainable", { mark: "circle", colour: ink("blue") }],
    ["predicted untrainable", { mark: "circle", colour: ink("orange") }],
    [`lower limit: the ${word} is beyond what was probed`, { mark: "triangle", colour: ink("blue") }],
    [
      `${word} = ${needed === 1 ? "depth" : `${number(needed, 3)} × depth`}`,
      { line: ink("quiet"), dash: "5 3" },
    ],
  ]);
  node.append(
    paragraph(
      `${meaningOf(name)} (${spaced(name)}), over the depth of the network. On or above the line a network is predicted trainable: its ${word} is at least ${depth}.`,
    ),
    chart,
  );
  plot(plotNode, "Horizon over depth", (c) => horizonChart(c, name, needed));
}

// What a number of layers is that networks are predicted by
function meaningOf(name) {
  const threshold = number(data.thresholds[name]);
  if (name === "trainable_depth")
    return "The depth up to which such networks are predicted trainable, by how far images are passed on and gradients back";
  if (name === "gradient_horizon")
    return `The depth at which gradients vanish or explode by a factor of e^${threshold}`;
  const best = data.relative.includes(name) ? ", relative to the best layer" : "";
  if (name.includes("correlation"))
    return `The layer after which the squared correlation of images and their reconstructions is below ${threshold}${best}`;
  return `The layer after which less than ${threshold} of the image's information is retained${best}`;
}

function horizonChart(c, name, needed) {
  const known = indices.filter((i) => points[name][i] !== null);
  const ahead = (i) => points[name][i] >= needed * points.depth[i];
  const censored = (i) => points[`${name}_censored`] && points[`${name}_censored`][i];
  const crowded = count > 300;
  const values = known.map((i) => Math.max(points[name][i], 0.1));
  const dots = {
    type: "scatter",
    mode: "markers",
    x: known.map((i) => points.depth[i]),
    y: values,
    text: known.map((i) => hovers[i]),
    hoverinfo: "text",
    cliponaxis: false,
    marker: {
      size: crowded ? 5 : 7,
      opacity: crowded ? 0.6 : 0.9,
      color: known.map((i) => (ahead(i) ? c.blue : c.orange)),
      symbol: known.map((i) => (censored(i) ? "triangle-up" : "circle")),
    },
  };
  const [first, last] = [lowest(points.depth), highest(points.depth)];
  const x = Array.from({ length: 50 }, (_, i) => first + ((last - first) * i) / 49);
  const y = x.map((depth) => depth * needed);
  const ticks = ticksOf(lowest([...values, y[0]]) / 1.5, highest([...values, needed * last]) * 1.5);
  return [
    [path(x, y, c.quiet, 2, DASHED), dots],
    layout(
      c,
      { title: NAMES.depth },
      { title: `${data.names[name]} (layers)`, type: "log", ...ticked(ticks) },
    ),
  ];
}

const CASCADE = {
  cascade_relative_entropy: "relative entropy of image and reconstruction (nats)",
  differential_entropy: "differential entropy of the reconstructions (nats)",
  cascade_correlation: "correlation of image and reconstruction",
};

// What the cascade measured, over σ_w² and the layer, as in the paper
function cascadeSection() {
  const cascade = data.cascade;
  if (!cascade) return;
  const node = section("cascade", "Reconstructions by the cascade");
  const { variance, layers, values, cutoff, theory: depths, horizon } = cascade;
  const others = further.filter((name) => free.has(name));
  const severalAxes = others.length ? ` and of any ${listed(others)}` : "";
  const text = `From each layer on, the image is reconstructed. Networks near σ_b ${number(cascade.sigma_b, 3)}${severalAxes}, in order of σ_w². The published cutoff is the last layer whose relative entropy still differs from the final one.`;
  const agreement = cascade.agreement && ` By all points, ${cascade.agreement.replace(/xi_c/g, "ξ_c")}.`;
  node.append(paragraph(text + (agreement || "")));
  for (const [name, z] of Object.entries(values)) {
    const read = name === "cascade_correlation";
    const [chart, plotNode] = figure(
      `layers-${name}`,
      [
        ["published cutoff", { line: WHITE }],
        depths.some((v) => v !== null) ? ["mean field, 6 ξ_c", { line: RED, dash: "5 3" }] : null,
        read ? ["horizon of the correlation", { line: BLACK }] : null,
      ],
      { title: CASCADE[name], overDiagram: true },
    );
    node.append(chart);
    const known = z.flat().filter((v) => v !== null);
    const range = read ? [0, 1] : [lowest(known), highest(known)];
    const visible = read ? z.map((row) => row.map((v) => (v === null ? null : Math.sqrt(v)))) : z;
    plot(plotNode, CASCADE[name], (c) => {
      const traces = [{ ...heat(c, variance, layers, visible, range, ""), zsmooth: false }];
      traces.push(path(variance, cutoff, WHITE, 2.2), path(variance, depths, RED, 2.2, DASHED));
      if (read)
        traces.push(
          path(variance, horizon, "rgba(255,255,255,0.55)", 5),
          path(variance, horizon, BLACK, 2.2),
        );
      const across = { title: "σ<sub>w</sub>²" };
      return [traces, layout(c, across, { title: "layer", range: [0.5, layers.at(-1) + 0.5] })];
    });
  }
}

function historySection() {
  const history = data.history;
  const node = section("history", "Search history");
  if (!history) {
    const fixed = "All axes are fixed: there is no boundary to find.";
    node.append(paragraph(free.size ? "Too few points for a boundary." : fixed));
    return;
  }
  const { error, points: counts, search, until } = history;
  const after = (i) => `${share(error.at(i))} after ${many(counts.at(i), "point")}`;
  const [chart, plotNode] = figure("errors", [
    ["expected error", { line: ink("blue") }],
    until ? ["limit at which the sweep stops", { line: ink("quiet"), dash: "5 3" }] : null,
  ]);
  node.append(
    paragraph(
      `The expected error is the part of the range that is expected to be on the wrong side of the boundary, estimated from the points measured up to then (search: ${search}). It went from ${after(0)} to ${after(-1)}.`,
    ),
    chart,
  );
  const label = "Expected error of the boundary over the number of points";
  plot(plotNode, label, (c) => historyChart(c, history));
}

function historyChart(c, { error, points: counts, seconds, until }) {
  const percent = error.map((e) => 100 * e);
  const traces = [
    {
      type: "scatter",
      mode: "lines+markers",
      x: counts,
      y: percent,
      customdata: seconds,
      line: { color: c.blue, width: 2.4 },
      marker: { size: 7 },
      hovertemplate: "%{x} points, %{customdata:.3~s} s after the first: %{y:.3g} %<extra></extra>",
    },
  ];
  const [first, last] = [counts[0], counts.at(-1)];
  if (until) traces.push(path([first, last], [100 * until, 100 * until], c.quiet, 2, DASHED));
  const roundNumbers = [1, 2, 3, 5].flatMap((m) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6].map((e) => m * e));
  const x = roundNumbers.filter((v) => v >= first / 1.2 && v <= last * 1.2);
  const ticks = ticksOf(lowest(percent) / 1.5, highest(percent) * 1.5);
  const scale = ticks.length > 1 ? { type: "log", ...ticked(ticks) } : { rangemode: "tozero" };
  const across = { title: "points measured", type: "log", tickvals: x, ticktext: x.map(whole) };
  return [traces, layout(c, across, { title: "expected error (% of the range)", ...scale })];
}

function costSection() {
  const { kinds, hosts, all_hosts: all, rate } = data.cost;
  const node = section("cost", "Cost");
  if (!kinds.length) {
    node.append(paragraph("Nothing has been measured yet."));
    return;
  }
  const kindRows = kinds.map(([name, n, perPoint, total, flops]) => {
    return [name, whole(n), perPoint || "–", total || "–", operations(flops)];
  });
  const hostRows = hosts.map(([host, device, n, busy, speed]) => {
    return [plain(host || "–"), plain(device || "–"), whole(n), busy || "–", number(speed)];
  });
  const numeric = (n) => Array(n).fill("number");
  node.append(
    table(["", "points", "time per point", "total time", "operations (estimated)"], kindRows, [
      "",
      ...numeric(4),
    ]),
    table(["host", "device", "points", "busy time", "points per second"], hostRows, ["", "", ...numeric(3)]),
  );
  if (all > hosts.length) node.append(remark(`${hosts.length} of ${all} are shown.`));
  const speed = rate ? `${number(rate, 3)} points per second in all, from the first to the last. ` : "";
  const definitions = "Points per second include pauses; busy time is that of probes and training.";
  node.append(remark(`${speed}${definitions}`));
}

// A text from outside, in which no symbols are set
const plain = (text) => el("span", {}, text);

function failuresSection() {
  const { rows, kinds } = data.failures;
  const { damaged, set_aside: aside } = data;
  const node = section("failures", "Failures");
  if (!rows.length && !damaged.length && !aside.length)
    node.append(paragraph("No point failed, and no file is damaged."));
  if (rows.length) {
    const example = (values) => placeText(KEYS, (name) => values[KEYS.indexOf(name)]);
    const cells = ([error, n, p, host]) => [whole(n), plain(error), example(p), plain(host)];
    node.append(table(["points", "error", "example", "host"], rows.map(cells), ["number", "text", "", ""]));
  }
  if (kinds > rows.length)
    node.append(remark(`The ${rows.length} most frequent of ${kinds} errors are shown.`));
  if (damaged.length) {
    const files = damaged.map((names) => names.map(plain));
    node.append(heading("Files left out"), table(["file", "reason"], files, ["", "text"]));
  }
  if (aside.length) {
    const names = aside.map((name) => el("li", {}, name));
    node.append(heading("Damaged files set aside earlier"), el("ul", {}, names));
  }
}

function footer() {
  const text = `Written ${data.written} by sweep report. This page fetches nothing and sends nothing.`;
  document.getElementById("footer").append(remark(text));
}

followTheme(() => charts.forEach((chart) => chart.draw()));
head();
summarySection();
phaseSection();
criticalSection();
horizonSection();
cascadeSection();
truthSection();
historySection();
costSection();
failuresSection();
footer();
drawWhenNear();
