/* select.js - which trials are looked at: by fate, by words, by brushes on axes.  All
 * plots and the table show the same ones, and the same trial under the pointer. */
const events = d3.dispatch("select", "hover", "pin", "theme");
const hiddenFates = new Set();
const brushes = new Map();              /* key of an axis -> { text, test(trial) } */
let queryTests = [], queryText = "";
let active = new Uint8Array(trials.length).fill(1), activeCount = trials.length;
let hover = null, pinned = null;

const isActive = t => active[t.i] === 1;
const isFiltered = () => brushes.size > 0 || queryTests.length > 0 || hiddenFates.size > 0;

function setHover(t) {
  if (t === hover) return;
  hover = t;
  events.call("hover");
}
function setPinned(t) {
  pinned = t;
  events.call("pin");
}

let pending = 0;
function selectAgain() {
  const tests = [...brushes.values()].map(b => b.test).concat(queryTests);
  activeCount = 0;
  for (const t of trials) {
    active[t.i] = !hiddenFates.has(t.fate) && tests.every(test => test(t)) ? 1 : 0;
    activeCount += active[t.i];
  }
  thin();
  /* Brushes move faster than ten thousand lines are drawn: once a frame. */
  if (!pending) pending = requestAnimationFrame(() => { pending = 0; events.call("select"); });
}
function setBrush(key, brush) {
  if (brush) brushes.set(key, brush); else brushes.delete(key);
  selectAgain();
}

/* Thousands of lines hide each other and take long to draw: of more than LINES_MAX trials
 * that are looked at the best are drawn, and an even sample of the others.  The pointer, the
 * table and all figures know all of them. */
const LINES_MAX = 2000, LINES_BEST = 500;
let drawn = new Uint8Array(trials.length).fill(1);
function thin() {
  drawn.fill(0);
  const list = ranked.filter(isActive), others = list.length - LINES_BEST, kept = LINES_MAX - LINES_BEST;
  list.forEach((t, k) => {
    const at = k - LINES_BEST;
    drawn[t.i] = list.length <= LINES_MAX || at < 0
      || Math.floor((at + 1) * kept / others) > Math.floor(at * kept / others) ? 1 : 0;
  });
}
const isDrawn = t => drawn[t.i] === 1;
/* Those that a brush or a search left out, some of them if they are many: drawn in grey behind. */
const BACKDROP_MAX = 600;
function backdrop() {
  const left = trials.filter(t => !isActive(t) && !hiddenFates.has(t.fate)),
    every = Math.ceil(left.length / BACKDROP_MAX);
  return left.filter((t, k) => k % every === 0);
}
const thinNote = () => activeCount <= LINES_MAX ? "" :
  ` Of ${count(activeCount)} trials the best ${count(LINES_BEST)} and an even sample of ` +
  `${count(LINES_MAX - LINES_BEST)} others are drawn; the pointer finds all.`;

/* ---- words: name<1e-3 opt=adam state=failed, and plain words ---- */

const columns = [
  { names: ["trial", "#"], of: t => t.number, text: t => String(t.number) },
  { names: ["state"], of: t => t.state, text: t => t.state },
  { names: [METRIC.toLowerCase(), "value", "best"], of: t => t.best, text: t => number(t.best) },
  { names: ["step", "steps"], of: t => t.step, text: t => String(t.step) },
  { names: ["runs"], of: t => t.runs, text: t => String(t.runs) },
  { names: ["bracket"], of: t => t.bracket, text: t => String(t.bracket) },
  { names: ["seconds", "time"], of: t => t.ran / 1000, text: t => duration(t.ran) },
  ...params.map(p => ({ names: [p.name.toLowerCase(), p.name.toLowerCase().split(".").pop()],
    of: t => t.x[p.k] === null ? null : p.choices ? (p.numeric ? Number(p.choices[t.x[p.k]])
      : p.choices[t.x[p.k]]) : t.x[p.k],
    text: t => paramText(p, t.x[p.k]) })),
];
function haystack(t) {
  if (t.words === undefined)
    t.words = [t.number, t.state, t.why || "",
      ...params.map(p => `${p.name}=${paramText(p, t.x[p.k])}`)].join(" ").toLowerCase();
  return t.words;
}

function compare(column, operator, wanted) {
  const x = Number(wanted), isNumber = wanted !== "" && isFinite(x);
  const same = t => isNumber && typeof column.of(t) === "number" ? column.of(t) === x : column.text(t)
    .toLowerCase() === wanted;
  if (operator === "=") return same;
  if (operator === "!=") return t => !same(t);
  return t => {
    const value = column.of(t);
    if (!isNumber || typeof value !== "number") return false;
    return operator === "<" ? value < x : operator === ">" ? value > x : operator === "<=" ? value <= x : value >= x;
  };
}
function readQuery(text) {
  return text.toLowerCase().split(/\s+/).filter(word => word !== "").map(word => {
    const parts = /^(.+?)(<=|>=|!=|<|>|=)(.*)$/.exec(word);
    const column = parts && columns.find(c => c.names.includes(parts[1]));
    return column ? compare(column, parts[2], parts[3]) : t => haystack(t).includes(word);
  });
}

/* ---- the bar at the top ---- */

function drawFilterBar() {
  thin();
  const present = [...FATES, "other"].filter(fate => trials.some(t => t.fate === fate));
  for (const fate of present) {
    const n = trials.reduce((sum, t) => sum + (t.fate === fate), 0);
    const button = el("button", { type: "button", "aria-pressed": "true",
      title: "Show or hide them; double click shows them alone",
      onclick() { hiddenFates.has(fate) ? hiddenFates.delete(fate) : hiddenFates.add(fate); selectAgain(); },
      ondblclick() { hiddenFates.clear(); for (const f of present) if (f !== fate) hiddenFates.add(f);
        selectAgain(); },
    }, dot(fate), fate, el("span", { class: "muted" }, count(n)));
    events.on("select.legend-" + fate, () => button.setAttribute("aria-pressed", String(!hiddenFates.has(fate))));
    byId("legend").append(button);
  }
  byId("query").addEventListener("input", event => {
    queryText = event.target.value;
    queryTests = readQuery(queryText);
    selectAgain();
  });
  byId("clear").addEventListener("click", () => {
    byId("query").value = queryText = "";
    queryTests = [];
    brushes.clear();
    hiddenFates.clear();
    events.call("select", null, "cleared");
    selectAgain();
  });
  events.on("select.bar", drawSelection);
  drawSelection();
}
function drawSelection() {
  byId("chips").replaceChildren(...[...brushes].map(([key, b]) =>
    el("button", { class: "chip", type: "button", title: "Take this brush away",
      onclick() { setBrush(key, null); } }, b.text + " ×")));
  byId("count").textContent = isFiltered() ? `${count(activeCount)} of ${count(trials.length)} trials`
    : `${count(trials.length)} trials`;
  byId("count").dataset.count = activeCount;
  byId("clear").hidden = !isFiltered();
}
