// The data of the page, functions that make elements and texts, and the theme. Whatever comes from the data is set as
// text, never as markup or code.

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const points = data.points; // by column
const count = points.seed.length;
const indices = Array.from({ length: count }, (_, i) => i); // indices of the points

// Axes: sigma_w, sigma_b and depth, and further ones, whose names are the user's

const SYMBOLS = { sigma_w: "σ_w", sigma_b: "σ_b", depth: "depth" };
const AXES = Object.keys(data.axes);
const further = AXES.filter((name) => !Object.hasOwn(SYMBOLS, name));
const KEYS = [...Object.keys(SYMBOLS), "seed", ...further]; // what tells points apart
const symbolOf = (name) => (Object.hasOwn(SYMBOLS, name) ? SYMBOLS[name] : name);
const isLog = (name) => data.log.includes(name);

// Where a value lies in the range of an axis, on its scale: 0 at the lower end, 1 at the upper one
function positionOn(name, value) {
  const scale = name === "depth" || isLog(name) ? Math.log : (v) => v;
  const [low, high] = data.axes[name].map(scale);
  return (scale(value) - low) / (high - low || 1);
}

// Numbers

const lowest = (values) => values.reduce((a, b) => (b !== null && b < a ? b : a), Infinity);
const highest = (values) => -lowest(values.map((v) => (v === null ? null : -v)));

// The value at a position, interpolated linearly between the values y at the increasing positions x.
function interpolate(x, y, at) {
  const i = x.findIndex((v) => v >= at);
  if (i <= 0 || y[i] === null) return y[Math.max(0, i)];
  return y[i - 1] + ((y[i] - y[i - 1]) * (at - x[i - 1])) / (x[i] - x[i - 1]);
}

// Numbers as texts

const missing = (v) => v === null || v === undefined;
const whole = (n) => n.toLocaleString("en");
const many = (n, one, more = `${one}s`) => `${whole(n)} ${n === 1 ? one : more}`;
const share = (v) => (missing(v) ? "–" : `${number(100 * v, 2)} %`);
const decimals = (v, digits = 3) => (typeof v === "number" ? v.toFixed(digits) : "–");

function number(v, digits = 4) {
  if (typeof v === "number") return String(Number(v.toPrecision(digits)));
  return missing(v) ? "–" : String(v);
}

// Values of a point as a text: valueOf(name) gives them
function placeText(names, valueOf) {
  const exact = ["depth", "seed"];
  const valueText = (name) => (exact.includes(name) ? String(valueOf(name)) : number(valueOf(name)));
  return names.map((name) => `${symbolOf(name)} ${valueText(name)}`).join(", ");
}

// "a", "a and b" or "a, b and c"
function listed(words, conjunction = "and") {
  const all = words.slice(0, -1).join(", ");
  return all ? `${all} ${conjunction} ${words.at(-1)}` : (words[0] ?? "");
}

function operations(v) {
  if (typeof v !== "number") return "–";
  const step = Math.max(0, Math.min(6, Math.floor(Math.log10(v) / 3)));
  return `${number(v / 1000 ** step, 3)} ${["", "k", "M", "G", "T", "P", "E"][step]}FLOP`;
}

// Elements

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && !missing(value)) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((c) => !missing(c) && c !== ""));
  return node;
}

// A text as nodes, with the indices of symbols as subscripts
const rich = (text) =>
  text
    .split(/(σ_[wb]|ξ_c|χ_1)/)
    .map((s) => (/^[σξχ]_.$/.test(s) ? el("span", {}, s[0], el("sub", {}, s[2])) : s));

const paragraph = (text) => el("p", {}, rich(text));
const remark = (text) => el("p", { class: "quiet" }, rich(text));
const heading = (text) => el("h3", {}, rich(text));
const button = (attributes, text) => el("button", { type: "button", ...attributes }, text);

function table(titles, rows, kinds = []) {
  const cell = (tag, scope, value, i) =>
    el(tag, { class: kinds[i] || null, scope }, typeof value === "string" ? rich(value) : value);
  const heads = (names) => names.map((name, i) => cell("th", "col", name, i));
  const cells = (row) => row.map((v, i) => (i ? cell("td", null, v, i) : cell("th", "row", v, 0)));
  const body = rows.map((row) => el("tr", {}, cells(row)));
  const top = titles && el("thead", {}, el("tr", {}, heads(titles)));
  return el("div", { class: "wide" }, el("table", {}, top, el("tbody", {}, body)));
}

function section(id, title, ...children) {
  document.getElementById("contents").append(el("a", { href: `#${id}` }, title));
  const label = el("h2", { id: `${id}-title` }, title);
  const node = el("section", { id, "aria-labelledby": `${id}-title` }, label, children);
  document.getElementById("main").append(node);
  return node;
}

// Light and dark

function followTheme(repaint) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const switcher = document.getElementById("theme");
  const modes = ["auto", "dark", "light"];
  let mode = "auto";
  function apply() {
    root.dataset.theme = mode === "auto" ? (dark.matches ? "dark" : "light") : mode;
    repaint();
  }
  switcher.addEventListener("click", () => {
    mode = modes[(modes.indexOf(mode) + 1) % modes.length];
    switcher.textContent = `Theme: ${mode}`;
    switcher.setAttribute("aria-label", `Colours: ${mode === "auto" ? "like the system" : mode}`);
    apply();
  });
  dark.addEventListener("change", () => {
    if (mode === "auto") apply();
  });
  apply();
}
