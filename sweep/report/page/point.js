// The details of the chosen point: profile, reconstructions, the command that measures it again, and its row.

const PROFILES = [
  ["direct_retained", "direct probe", "blue", "direct_horizon", "solid"],
  ["cascade_correlation", "cascade, by correlation", "orange", "cascade_correlation_horizon", "dash"],
  ["cascade_retained", "cascade, by relative entropy", "orange", "cascade_horizon", "dot"],
].filter(([name]) => data.profiles[name]);
const hasProfile = (i) => PROFILES.some(([name]) => data.profiles[name][i]);
const profiled = indices.filter(hasProfile);
const order = [...indices].sort(
  (a, b) => AXES.map((name) => points[name][a] - points[name][b]).find((difference) => difference) || 0,
);

const detail = el("aside", { class: "detail", "aria-label": "The chosen point" });
const parts = {
  position: el("span", { "aria-live": "polite" }),
  profile: el("div", { class: "plot small", id: "profile" }),
  noProfile: el("p", { class: "quiet" }),
  measureAgain: el("div", {}),
  row: el("div", {}),
};

function showDetail() {
  const label = "Retained information after each layer of the chosen point";
  plot(parts.profile, label, (c) => curves(c, chosen === null ? [] : [chosen], false)).showsPoint = true;
  const step = (id, by, sign) =>
    button(
      { id, "aria-label": `${id[0].toUpperCase()}${id.slice(1)} point`, onclick: () => chooseNext(by) },
      sign,
    );
  const title = heading("Retained information after each layer");
  detail.append(
    el("div", { class: "steps" }, parts.position, step("previous", -1, "‹"), step("next", 1, "›")),
    el("div", {}, title, parts.profile, parts.noProfile, profileLegend()),
    parts.measureAgain,
    parts.row,
  );
  const margin = (i) => (points.margin ? (points.margin[i] ?? -Infinity) : 0);
  choose(order.reduce((best, i) => (margin(i) > margin(best) ? i : best)));
}

function choose(i) {
  chosen = i;
  parts.position.textContent = `Point ${order.indexOf(i) + 1} of ${whole(count)}`;
  parts.noProfile.textContent = hasProfile(i) ? "" : "This point has no profile.";
  parts.measureAgain.replaceChildren(...reconstructions(i), ...commandOf(i));
  parts.row.replaceChildren(rowOf(i));
  drawPoints();
}

// Draw all charts that show the chosen point among others, or alone.
function drawPoints() {
  for (const chart of charts) if (chart.showsPoint) chart.draw();
}

function chooseNext(step) {
  const now = chosen === null ? (step > 0 ? -1 : count) : order.indexOf(chosen);
  choose(order[(now + step + count) % count]);
}

// The row

function rowOf(i) {
  const names = Object.keys(points).filter((name) => points[name][i] !== null && points[name][i] !== "");
  const cells = (name) => [
    el("th", { scope: "row", title: data.meaning[name] || "" }, name),
    el("td", {}, shown(name, points[name][i])),
  ];
  const rows = names.map((name) => el("tr", {}, cells(name)));
  const body = el("table", { id: "row" }, el("tbody", {}, rows));
  return el("details", { open: "" }, el("summary", {}, "Row"), body);
}

function shown(name, value) {
  if (name === "finished")
    return `${new Date(value * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}

// The command

function commandOf(i) {
  const point = ["sigma_w", "sigma_b", "depth", "seed"].map(
    (n) => `--${n.replace("_", "-")} ${points[n][i]}`,
  );
  const values = further.map((name) => `--at ${name}=${points[name][i]}`);
  const pictures = data.pictures ? ["--images-out point.png"] : [];
  const words = [data.command, ...point, ...values, ...pictures].join(" ");
  const code = el("pre", { id: "command", tabindex: 0 }, words);
  const copier = button({ id: "copy", onclick: () => copy(code, copier) }, "Copy");
  const purpose = data.pictures
    ? ", train it, and draw reconstructions of more images before and after training"
    : "";
  return [remark(`To measure the point again${purpose}:`), code, copier];
}

async function copy(code, copier) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
  copier.textContent = "Copied";
  setTimeout(() => {
    copier.textContent = "Copy";
  }, 1500);
}

// Reconstructions: those of the point, or of the nearest point that has any

// The squared distance of two points, each axis scaled to the range of the sweep
function distance(i, k) {
  const apart = (name) => positionOn(name, points[name][i]) - positionOn(name, points[name][k]);
  return AXES.reduce((sum, name) => sum + apart(name) ** 2, 0);
}

function reconstructions(i) {
  const { at, layers, images, why_not: why } = data.reconstructions;
  if (!at.length) return [heading("Reconstructions"), why ? remark(`None are shown: ${why}`) : ""];
  const best = at.reduce((a, k, n) => (distance(i, k) < distance(i, at[a]) ? n : a), 0);
  const k = at[best];
  const tiles = images[best].map((src, n) => {
    const layer = n ? layers[best][n - 1] : null;
    const alt = n ? `Its reconstruction from layer ${layer}` : "A test image";
    return el("span", {}, el("img", { src, alt }), el("small", {}, n ? String(layer) : "image"));
  });
  const caption =
    "A test image and its reconstructions by linear decoders from the layers named below them, each scaled from black to white.";
  return [
    heading(k === i ? "Reconstructions" : "Reconstructions of the nearest point"),
    k === i ? "" : nearest(k),
    el("div", { class: "tiles", id: "tiles" }, tiles),
    remark(caption),
  ];
}

function nearest(k) {
  const location = placeText(AXES, (name) => points[name][k]);
  const show = button({ id: "nearest", onclick: () => choose(k) }, "Show it");
  return el(
    "p",
    { class: "quiet" },
    rich(`This point has none; the nearest one that has: ${location}. `),
    show,
  );
}

// Profiles

function profileLegend() {
  const items = PROFILES.map(([, label, colour, , dash]) => [
    label,
    { line: ink(colour), dash: { dash: "5 3", dot: "1 3" }[dash] },
  ]);
  return legend([...items, ["threshold of the horizon", { line: ink("quiet"), dash: "2 2" }]]);
}

function curves(c, shownPoints, labelled) {
  const curve = (i) =>
    PROFILES.filter(([name]) => data.profiles[name][i]).map(([name, label, colour, , dash]) => {
      const [layers, values] = data.profiles[name][i];
      return {
        type: "scatter",
        mode: layers.length > 30 || shownPoints.length > 1 ? "lines" : "lines+markers",
        x: layers,
        y: values,
        line: { color: c[colour], width: 2, dash },
        marker: { size: 5, color: c[colour] },
        opacity: shownPoints.length > 20 ? 0.4 : 1,
        hovertemplate: `layer %{x}: %{y:.3f}<extra>${labelled ? label : ""}</extra>`,
      };
    });
  const traces = shownPoints.flatMap(curve);
  const last = Math.max(...traces.map((trace) => trace.x.at(-1)), 2);
  for (const [name, , colour, horizon] of PROFILES) {
    const known = shownPoints.filter((i) => data.profiles[name][i]);
    if (!known.length) continue;
    // A relative threshold is a share of each network's best layer; of several networks, the mean is shown.
    const best = known.map((i) => Math.max(data.least_best, ...data.profiles[name][i][1]));
    const unit = data.relative.includes(horizon) ? best.reduce((sum, v) => sum + v, 0) / known.length : 1;
    const level = data.thresholds[horizon] * unit;
    traces.push(path([1, last], [level, level], c[colour], 1, "dot"));
  }
  return [traces, layout(c, { title: "layer", range: [0.5, last + 0.5] }, { title: "retained information" })];
}

// The profiles of all replicas, where all axes are fixed
function replicasFigure() {
  const caption =
    "1: the image is perfectly reconstructed; 0: no better than the mean image. Each curve is a network.";
  const node = el("div", { class: "plot", id: "replicas" });
  plot(node, "Retained information after each layer", (c) => curves(c, profiled.slice(0, 200), true));
  const below = el("figcaption", {}, caption);
  return el("figure", {}, heading("Retained information after each layer"), node, profileLegend(), below);
}
