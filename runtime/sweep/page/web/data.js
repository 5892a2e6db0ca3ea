"use strict";
/* data.js - the sweep as page_data.c wrote it, as objects with names. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const METRIC = DATA.metric === null ? "value" : DATA.metric;
const FATES = ["complete", "stopped", "paused", "failed", "running"];

/* Other states (waiting, cancelled, unfinished ...) share a colour. */
const fateOf = state => FATES.includes(state) ? state : "other";

/* { name, log, whole, low, high } or { name, choices, numeric }. */
const params = DATA.params.map((p, k) => Object.assign({ k }, p, p.choices ? {
  numeric: p.choices.every(c => c.trim() !== "" && isFinite(Number(c))),
} : {}));

const trials = DATA.trials.map((row, i) => ({
  i, number: row[0], state: DATA.states[row[1]], fate: fateOf(DATA.states[row[1]]),
  best: row[2], bestStep: row[3], step: row[4], runs: row[5], bracket: row[6],
  start: row[7], end: row[8], ran: row[9], why: row[10], x: row.slice(11),
  curve: DATA.curves[i],
}));
const trialByNumber = new Map(trials.map(t => [t.number, t]));
const best = DATA.best ? trialByNumber.get(DATA.best.trial) : undefined;

/* Is value a better than b?  Nothing is worse than none. */
const isBetter = (a, b) => b === null || (a !== null && (DATA.maximize ? a > b : a < b));

/* Trials from the best to the worst, those without a value last; and each one's place,
 * 1 for the best and 0 for the worst. */
const ranked = trials.slice().sort((a, b) =>
  a.best === null || b.best === null ? (a.best === null) - (b.best === null) || a.i - b.i
    : (DATA.maximize ? b.best - a.best : a.best - b.best) || a.i - b.i);
const valued = ranked.filter(t => t.best !== null);
ranked.forEach((t, place) => {
  t.goodness = t.best === null ? 0 : valued.length < 2 ? 1 : 1 - place / (valued.length - 1);
});

/* A value of parameter p as text; null where the trial does not have it. */
function paramText(p, x) {
  if (x === null) return "–";
  return p.choices ? p.choices[x] : number(x);
}

/* ---- numbers as people write them ---- */

const SIGNIFICANT = 5;
function number(x) {
  if (x === null || x === undefined || !isFinite(x)) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size >= 1e7 || size < 1e-4) return x.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  if (Number.isInteger(x)) return x.toLocaleString("en-US");
  return String(Number(x.toPrecision(SIGNIFICANT)));
}
const percent = x => x < 0.0995 && x > 0 ? (100 * x).toFixed(1) + " %" : Math.round(100 * x) + " %";
const count = n => n.toLocaleString("en-US");

function duration(ms) {
  const s = ms / 1000;
  if (s < 0.9995) return Math.round(ms) + " ms";
  if (s < 99.5) return Number(s.toPrecision(3)) + " s";
  if (s < 5970) return Math.floor(s / 60) + " min " + Math.round(s % 60) + " s";
  if (s < 172800) return Number((s / 3600).toPrecision(3)) + " h";
  return Number((s / 86400).toPrecision(3)) + " days";
}

/* The domain for values: all of them, or up to three interquartile ranges beyond the
 * quartiles on the worse side, since one diverged trial would leave a flat line of the others. */
function valueDomain(values, whole) {
  const sorted = Float64Array.from(values.filter(v => v !== null)).sort();
  if (sorted.length === 0) return { domain: [0, 1], clipped: 0 };
  let low = sorted[0], high = sorted[sorted.length - 1];
  if (!whole && sorted.length >= 20) {
    const q1 = d3.quantile(sorted, 0.25), q3 = d3.quantile(sorted, 0.75), room = 3 * (q3 - q1);
    if (!DATA.maximize && room > 0) high = Math.min(high, q3 + room);
    if (DATA.maximize && room > 0) low = Math.max(low, q1 - room);
  }
  let clipped = 0;
  for (const v of sorted) if (v < low || v > high) clipped++;
  if (low === high) { const d = Math.abs(low) * 0.1 || 1; low -= d; high += d; }
  return { domain: [low, high], clipped };
}
