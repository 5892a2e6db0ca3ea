/* rungs.js - how many trials reached each rung of each bracket, and how many went on. */

function drawRungs() {
  const section = byId("rungs"), body = section.querySelector(".body");
  const brackets = new Map();
  for (const [bracket, index, step, planned, reached, passed, cut] of DATA.rungs) {
    if (!brackets.has(bracket)) brackets.set(bracket, []);
    brackets.get(bracket).push({ index, step, planned, reached, passed, cut });
  }
  const used = [...brackets].filter(([, rungs]) => rungs.some(r => r.reached > 0));
  if (used.length === 0) {
    body.replaceChildren(el("p", { class: "empty" }, DATA.rungs.length > 0 ? "No trial has reached a rung yet."
      : `There are no rungs: ${SCHEDULERS[DATA.scheduler] || DATA.scheduler}.`));
    return;
  }
  const most = d3.max(used, ([, rungs]) => d3.max(rungs, r => Math.max(r.reached, r.planned)));
  body.replaceChildren(el("div", { class: "bracket-scroll", tabindex: "0", role: "region",
    "aria-labelledby": "rungs-h" },
    ...used.map(([bracket, rungs]) => el("div", { class: "bracket", "data-rungs": rungs.length },
      brackets.size > 1 ? el("h3", null, `Bracket ${bracket}`) : null,
      el("div", { class: "rung head" }, el("span", null, "step"), el("span", null, "reached → went on"),
        el("span", { class: "cut" }, `${cut(METRIC, 9)} ${DATA.maximize ? "≥" : "≤"}`)),
      ...rungs.map(r => el("div", { class: "rung" },
        el("span", null, count(r.step)),
        el("span", { class: "track", role: "img",
          "aria-label": `step ${r.step}: ${r.reached} reached it, ${r.passed} went on` },
          el("span", { class: "reached", style: `width: ${100 * r.reached / most}%` }),
          el("span", { class: "passed", style: `width: ${100 * r.passed / most}%` }),
          el("span", { class: "text" },
            `${count(r.reached)}${r.planned ? " of " + count(r.planned) : ""} → ${count(r.passed)}`)),
        el("span", { class: "cut", title: r.cut === null ? "not known" : String(r.cut) }, number(r.cut))))))));
  section.querySelector(".note").textContent = "The value is that which would be let on now.";
}
