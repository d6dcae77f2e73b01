// Further axes of the phase diagram: their sliders, which all views have in common, and the planes that they are up in.

// The sliders of the free further axes that are not in all views, by name: the element, the values, and a function that
// returns the index of the chosen one
const furtherSliders = new Map();
for (const name of further) {
  const sources = [phase?.further, ...data.planes.map((plane) => plane.others)];
  const values = sources.find((axes) => axes && Object.hasOwn(axes, name))?.[name];
  if (!values) continue;
  const [node, at] = slider(name, values, Math.floor(values.length / 2), drawPoints);
  furtherSliders.set(name, { node, values, at });
}

function furtherControls() {
  const nodes = [...furtherSliders.values()].map(({ node }) => node);
  return el("div", { class: "sliders", role: "group", "aria-label": "Values of further axes" }, nodes);
}

// The further axes that have sliders, and the values that these stand at, but for one axis
const chosenFurther = (except) =>
  [...furtherSliders]
    .filter(([name]) => name !== except)
    .map(([name, { values, at }]) => [name, values[at()]]);

// What the sliders stand at, of all combinations of their values
function chosenSlice() {
  if (!phase?.further) return slices[0];
  const sliders = [...furtherSliders.values()]; // in the order of the axes, as the slices
  return slices[sliders.reduce((index, { values, at }) => index * values.length + at(), 0)];
}

// A plane with a further axis up, at the values of the sliders
function furtherView({ x, y, across, up, others, margin }) {
  const id = `over-${y}`;
  const own = Object.keys(others).filter((name) => !furtherSliders.has(name));
  const common = Object.keys(others).filter((name) => furtherSliders.has(name));
  const sliders = new Map(
    own.map((name) => {
      const start = Math.floor(others[name].length * (name === "depth" ? 2 / 3 : 1 / 2));
      return [name, slider(name, others[name], start, () => chart.draw(), `slider-${name}-${y}`)];
    }),
  );
  const indexOf = (name) => (sliders.get(name) ?? [null, furtherSliders.get(name).at])[1]();
  const limit = margin && limitOf(margin);
  function field(c, depth) {
    const inPlane = (values, name) => values[name === "depth" && through ? 0 : indexOf(name)];
    const values = Object.keys(others).reduce(inPlane, margin);
    const shift = through && depth ? Math.log(data.axes.depth[1] / depth) : 0;
    const z = values.map((row) => row.map((m) => m + shift));
    return [heat(c, across, up, z, [-limit, limit], measure), zeroLine(across, up, z)];
  }
  function draw(c) {
    const depth = others.depth?.[indexOf("depth")];
    const values = Object.keys(others).map((name) => [name, others[name][indexOf(name)]]);
    const near = nearTo(values.filter(([name]) => !through || name !== "depth"));
    const good = (k) => isGood(k, through && depth ? deeperThan(depth, k) : 0);
    const traces = [...(margin ? field(c, depth) : []), ...marks(x, y, good, near)];
    const axes = [x, y].map((name) => ({ ...axisOf(name), showgrid: !margin }));
    return [traces, layout(c, ...axes)];
  }
  const atDepth =
    through && others.depth ? ` White marks are predicted trainable${atSliders(["depth"])}.` : "";
  const faint = faintText([...own.filter((name) => !through || name !== "depth"), ...common]);
  const caption = (margin ? COLOURS : TOO_FEW) + atDepth + faint;
  const items = [margin ? ["boundary", { line: WHITE }] : null, ...MARKS];
  const title = `${symbolOf(x)} and ${symbolOf(y)}${atSliders([...own, ...common])}`;
  const controls = el("div", {}, ...[...sliders.values()].map(([node]) => node));
  const [node, chart] = view(id, title, caption, items, controls, draw);
  return node;
}
