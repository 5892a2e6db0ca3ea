/* summary.js - the head of the page, the tiles, and the best configuration. */

const SEARCHES = { grid: "grid search", random: "random search", sobol: "Sobol sequence", tpe: "TPE" };
const SCHEDULERS = { none: "no early stopping", asha: "ASHA", asha_promotion: "ASHA (promotion)",
  hyperband: "HyperBand",
  median: "median stopping", pbt: "population based training", bands: "W&B's hyperband bands" };
const fatesCount = {};
DATA.states.forEach((state, i) => { fatesCount[fateOf(state)] = (fatesCount[fateOf(state)] || 0) + DATA.counts[i]; });
const wall = Math.max(0, DATA.ended_ms - DATA.began_ms);
const date = ms => new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

function drawHead() {
  byId("name").textContent = DATA.name || "sweep";
  const words = [`${DATA.maximize ? "maximize" : "minimize"} ${METRIC}`, SEARCHES[DATA.search] || DATA.search,
    SCHEDULERS[DATA.scheduler] || DATA.scheduler, `seed ${DATA.seed}`];
  if (DATA.began_ms) words.push("began " + date(DATA.began_ms));
  byId("subtitle").textContent = (DATA.description ? DATA.description + " · " : "") + words.join(" · ");
  const left = DATA.counts[DATA.states.indexOf("unfinished")];
  const state = DATA.running ? ["running", "running"] : DATA.trial_count === 0 ? ["other", "not begun"]
    : left > 0 ? ["other", `${count(left)} unfinished`] : ["complete", "ended"];
  const pill = byId("state");
  pill.textContent = state[1];
  pill.style.setProperty("--c", `var(--${state[0]})`);
  pill.classList.toggle("live", DATA.running);
  pill.title = DATA.running ? "as of " + date(DATA.written_ms) : left > 0
    ? "covey sweep resume goes on with them" : DATA.limit;
  byId("written").textContent = `Written by covey on ${date(DATA.written_ms)}; ` +
    `covey sweep report ${DATA.dir} writes it anew.`;
}

function tile(label, value, more, bar) {
  return el("div", { class: "tile" }, el("div", { class: "label" }, label),
    el("div", { class: "value" }, ...[].concat(value)),
    bar || null, el("div", { class: "more" }, more || ""));
}
function fateBar() {
  const bar = el("div", { class: "bar", role: "img", "aria-label": "trials by fate" });
  for (const fate of [...FATES, "other"])
    if (fatesCount[fate])
      bar.append(el("span", { style: `flex: ${fatesCount[fate]}; background: var(--${fate})`,
        title: `${fatesCount[fate]} ${fate}` }));
  return bar;
}
const share = (part, fate) => el("div", { class: "bar" },
  el("span", { style: `width: ${100 * Math.max(0, Math.min(1, part))}%; background: var(--${fate})` }));

function savedTile() {
  const { steps, longest, trials: n } = DATA.saving, full = longest * n;
  if (steps >= full) return tile("Steps", count(DATA.steps), "nothing was stopped early");
  return tile("Saved by early stopping", [percent(1 - steps / full), " ", el("small", null, "of the steps")],
    `${count(steps)} steps instead of ${count(full)}, had all ${count(n)} run to step ${count(longest)}`,
      share(steps / full, "stopped"));
}
function bestTile() {
  if (!best) return tile(`Best ${METRIC}`, "–", "no trial has reported it yet");
  const median = valued[valued.length >> 1];
  return tile(`Best ${METRIC}`, number(best.best),
    `trial ${best.number} at step ${count(best.bestStep)}; median of all ${number(median.best)}` +
    (DATA.target === undefined ? "" : `; target ${number(DATA.target)}`));
}
function drawTiles() {
  const cap = DATA.running && DATA.run_cap > DATA.trial_count ? ` of ${count(DATA.run_cap)}` : "";
  const fates = FATES.filter(f => fatesCount[f]).map(f => `${count(fatesCount[f])} ${f}`);
  if (fatesCount.other) fates.push(`${count(fatesCount.other)} other`);
  const busy = wall > 0 ? DATA.ran_ms / wall : 0;
  byId("tiles").replaceChildren(bestTile(),
    tile("Trials", [count(DATA.trial_count), el("small", null, cap)], fates.join(", "), fateBar()),
    savedTile(),
    tile("Compute", duration(DATA.ran_ms),
      `in ${duration(wall)} of wall time, ${Number(busy.toPrecision(2))} trials at once on average`));
}

/* ---- the best configuration ---- */

const quoteYaml = text => /^[A-Za-z_][\w./-]*$|^-?\d+(\.\d+)?(e[-+]?\d+)?$/.test(text) ? text : JSON.stringify(text);
const quoteShell = text => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`;
const copies = {
  YAML: b => b.values.map(([name, value]) => `${name}: ${quoteYaml(value)}`).join("\n") + "\n",
  JSON: b => JSON.stringify(b.json, null, 2) + "\n",
  arguments: b => b.values.map(([name, value]) => quoteShell(`--${name}=${value}`)).join(" "),
};

/* Browsers keep the clipboard from pages that they do not trust; a selection works everywhere. */
async function copy(text, said) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch (e) {
    const area = el("textarea", { readonly: true, style: "position: fixed; opacity: 0" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  said.textContent = done ? "copied" : "the browser does not allow it";
  setTimeout(() => { said.textContent = ""; }, 2000);
}

const RUNNERS_UP = 5;
function runnersUp() {
  const others = valued.filter(t => t !== best && t.fate !== "failed").slice(0, RUNNERS_UP);
  if (others.length === 0) return null;
  return el("div", { class: "runners" }, el("h3", null, "Next best"), ...others.map(t =>
    el("button", { type: "button", title: "Mark it in every plot", onclick() { setPinned(pinned === t ? null : t); },
      onpointerenter() { setHover(t); }, onpointerleave() { setHover(null); } },
      dot(t.fate), el("span", null, `trial ${t.number}`), el("span", { class: "num" }, number(t.best)))));
}

function drawBest() {
  const body = document.querySelector("#best .body");
  if (!best) {
    body.replaceChildren(el("p", { class: "empty" }, "No trial has reported the metric yet."));
    return;
  }
  const said = el("span", { class: "copied", role: "status" });
  body.replaceChildren(
    el("div", { class: "config-scroll", tabindex: "0", role: "region", "aria-labelledby": "best-h" },
      el("table", { class: "config" },
      ...DATA.best.values.map(([name, value, constant]) => el("tr", { class: constant ? "constant" : null },
        el("th", { scope: "row" }, name), el("td", { class: "mono" }, value))))),
    el("div", { class: "copy" }, ...Object.keys(copies).map(kind =>
      el("button", { type: "button", onclick() { copy(copies[kind](DATA.best), said); } }, `Copy ${kind}`)), said),
    el("p", { class: "note" }, `Trial ${best.number}: ${METRIC} `, el("b", null, number(best.best)),
      `, ${duration(best.ran)}. `,
      el("span", { class: "mono" }, DATA.best.dir)),
    runnersUp() || "");
}
