// The comparison of prediction and truth.

function truthSection() {
  const truth = data.truth;
  const node = section("truth", "Prediction against truth");
  if (!truth) {
    const advice =
      "sweep run --train boundary (or --train all) trains networks, and shows how well the probes predict the outcome.";
    node.append(paragraph(`No network was trained in this sweep. ${advice}`));
    return;
  }
  const { trained, trainable, level, compared, why_not: why } = truth;
  const were = `${many(trained, "network")} ${trained === 1 ? "was" : "were"} trained`;
  const outcome = `${whole(trainable)} reached an accuracy above ${number(level, 3)}`;
  const sample = ` The comparison uses ${whole(compared || 0)} of them, drawn at random.`;
  node.append(paragraph(`${were}; ${outcome}.${compared && compared < trained ? sample : ""}`));
  if (why) node.append(paragraph(`There is no comparison yet: ${why}`));
  else
    node.append(
      el("div", { class: "pair" }, scoresFigure(truth), rocFigure(truth)),
      el("div", { class: "pair" }, reliabilityFigure(truth)),
      ...statisticsTable(truth),
    );
}

function statisticsTable(truth) {
  const interval = (row, name) => {
    const [value, low, high] = [name, `${name}_5`, `${name}_95`].map((n) => decimals(row[n]));
    return row[name] === null ? "–" : `${value} [${low}, ${high}]`;
  };
  const rows = Object.entries(truth.table).map(([name, row]) => [
    name === truth.default ? `${name} (drives the sweep)` : name,
    interval(row, "auc"),
    interval(row, "auc_hard"),
    decimals(row.accuracy, 2),
    decimals(row.accuracy_calibrated, 2),
    interval(row, "iou"),
    decimals(row.distance, 2),
    decimals(row.brier, 2),
  ]);
  const titles = ["statistic", "AUC", "hard half", "accuracy", "calibrated", "IoU", "distance", "Brier"];
  const meaning =
    "In brackets: the 90 % interval. Hard half: AUC of the points nearest to the true boundary. Accuracy: at the default threshold. Calibrated: accuracy at the threshold by these trainings, with cross-validation. IoU: intersection over union of the predicted and the true region. Distance: between the two boundaries, in σ_w.";
  return [table(titles, rows, ["", ...Array(7).fill("number")]), remark(meaning)];
}

function scoresFigure(truth) {
  const name = truth.default;
  const items = [
    ["trained successfully", { mark: "circle", colour: ink("blue") }],
    ["did not train", { mark: "circle", colour: ink("orange") }],
  ];
  const caption = `Accuracy over the score of ${name}: ${truth.meaning[name]}. To the right of ${number(data.shift, 2)} a network is predicted trainable; above the horizontal line it trained successfully.`;
  const [node, plotNode] = figure("scores", items, { title: "Accuracy over score", caption });
  plot(plotNode, "Accuracy over score", (c) => {
    const dots = {
      type: "scatter",
      mode: "markers",
      x: truth.score,
      y: truth.accuracy,
      customdata: truth.depth,
      hovertemplate: "score %{x:.3f}, accuracy %{y:.3f}, depth %{customdata}<extra></extra>",
      cliponaxis: false,
      marker: {
        size: truth.score.length > 400 ? 5 : 7,
        color: truth.above.map((above) => (above ? c.blue : c.orange)),
      },
    };
    const x = [Math.min(0, lowest(truth.score)), Math.max(0, highest(truth.score))];
    const level = path(x, [truth.level, truth.level], c.quiet, 1.5, DASHED);
    const zero = path([data.shift, data.shift], [0, 1], c.quiet, 1.5, DASHED);
    const up = { title: "accuracy after training", range: [0, 1.02] };
    return [[level, zero, dots], layout(c, { title: "score" }, up)];
  });
  return node;
}

function rocFigure(truth) {
  const palette = ["blue", "orange", "green", "purple"];
  const dashes = ["solid", DASHED, "2px,3px", "8px,3px,2px,3px"];
  const names = [truth.default, ...Object.keys(truth.roc).filter((n) => n !== truth.default)];
  const styles = names.map((name, i) => {
    const theoretical = name === "xi_c" || name === "chi_1";
    return { name, i, colour: palette[i % 4], dash: dashes[Math.floor(i / 4) % 4 || (theoretical ? 1 : 0)] };
  });
  const items = styles.map(({ name, colour, dash }) => [
    `${name}, AUC ${decimals(truth.table[name].auc)}`,
    { line: ink(colour), dash: dash === "solid" ? null : "4 3" },
  ]);
  const caption =
    "True positive rate (networks that trained and were predicted to) over false positive rate (networks that did not train but were predicted to), at every threshold.";
  const [node, plotNode] = figure("roc", items, { title: "ROC", caption });
  plot(plotNode, "ROC curves", (c) => {
    const curve = ({ name, i, colour, dash }) => ({
      type: "scatter",
      mode: "lines",
      x: truth.roc[name][0],
      y: truth.roc[name][1],
      name,
      line: { color: c[colour], width: i ? 1.6 : 3, dash },
      hovertemplate: `${name}<br>%{y:.0%} true positive, %{x:.0%} false positive<extra></extra>`,
    });
    const chance = path([0, 1], [0, 1], c.rule, 1.5);
    const x = { title: "false positive rate", range: [-0.02, 1], tickformat: ".0%" };
    const y = { title: "true positive rate", range: [0, 1.02], tickformat: ".0%" };
    return [[chance, ...[...styles].reverse().map(curve)], layout(c, x, y)];
  });
  return node;
}

function reliabilityFigure(truth) {
  const calibrations = Object.entries(truth.reliability).map(([name, bins], i) => ({
    name,
    bins: bins.filter((b) => b.points),
    colour: ["orange", "blue"][i],
  }));
  const items = calibrations.map(({ name, colour }) => [name, { line: ink(colour) }]);
  const caption = `How many networks trained, over the probability that was predicted by ${truth.default}: on the diagonal, it can be trusted. The default calibration knows nothing of these trainings.`;
  const [node, plotNode] = figure("reliability", items, { title: "Reliability", caption });
  plot(plotNode, "Reliability", (c) => {
    const curve = ({ name, bins, colour }) => ({
      type: "scatter",
      mode: "lines+markers",
      x: bins.map((b) => b.predicted),
      y: bins.map((b) => b.observed),
      customdata: bins.map((b) => b.points),
      name,
      line: { color: c[colour], width: 2.4 },
      marker: { size: 9 },
      hovertemplate: `${name}<br>predicted %{x:.0%}, trained %{y:.0%} of %{customdata}<extra></extra>`,
    });
    const diagonal = path([0, 1], [0, 1], c.rule, 1.5);
    const x = { title: "predicted probability", range: [-0.02, 1.02], tickformat: ".0%" };
    const y = { title: "share that trained", range: [-0.02, 1.02], tickformat: ".0%" };
    return [[diagonal, ...calibrations.map(curve)], layout(c, x, y)];
  });
  return node;
}
