/* importance.js - the share of each parameter, what chance alone would give, and how the
 * metric goes with it. */

const IMPORTANCE_ROWS = 12;

/* The mean of the metric over the parameter's range, all others averaged out. */
function marginalSpark(p, marginal, domain) {
  const width = 132, height = 34;
  const svg = d3.create("svg").attr("class", "spark").attr("viewBox", `0 0 ${width} ${height}`)
    .attr("width", "100%").attr("height", height)
    .attr("role", "img").attr("aria-label", `${METRIC} by ${p.name}`);
  const y = d3.scaleLinear().domain(domain).range([height - 4, 4]);
  svg.append("line").attr("class", "base").attr("x1", 0).attr("x2", width).attr("y1", height - 1)
    .attr("y2", height - 1);
  if (p.choices && p.choices.length === marginal.length) {
    const order = parallelScale({ p }, 0, 1).domain();
    const x = d3.scaleBand().domain(order).range([0, width]).padding(order.length > 12 ? 0.1 : 0.25);
    for (const c of order)
      svg.append("rect").attr("x", x(c)).attr("width", Math.max(1, x.bandwidth()))
        .attr("y", y(marginal[c]) - 1.5).attr("height", 3).attr("rx", 1)
        .append("title").text(`${p.choices[c]}: ${number(marginal[c])}`);
  } else {
    const x = d3.scaleLinear().domain([0, marginal.length - 1 || 1]).range([2, width - 2]);
    svg.append("path").attr("d", d3.line().x((v, i) => x(i)).y(v => y(v)).curve(d3.curveStepAfter)(marginal));
    svg.append("title").text(`${METRIC} over ${p.name} from ${number(p.low)} to ${number(p.high)}` +
      (p.log ? ", logarithmic: " : ": ") +
      `${number(d3.min(marginal))} to ${number(d3.max(marginal))}`);
  }
  return svg.node();
}

function importanceRow(p, found, floor, most, domain) {
  const weak = found.share <= floor;
  return [
    el("span", { class: "name", title: p.name }, p.name),
    el("span", { class: "track", role: "img",
      "aria-label": `${p.name}: ${percent(found.share)}${weak ? ", not above chance" : ""}` },
      el("span", { class: weak ? "fill weak" : "fill", style: `width: ${100 * found.share / most}%` }),
      el("span", { class: "floor", style: `left: ${100 * floor / most}%` })),
    el("span", { class: "share" }, percent(found.share)),
    marginalSpark(p, found.marginal, domain)];
}

function drawImportance() {
  const section = byId("importance"), body = section.querySelector(".body"), data = DATA.importance;
  const rows = data.params.map((found, k) => ({ p: params[k], found }))
    .sort((a, b) => b.found.share - a.found.share || a.p.k - b.p.k);
  if (data.samples < data.samples_min || rows.length === 0 || rows[0].found.share === 0) {
    body.replaceChildren(el("p", { class: "empty" }, data.samples < data.samples_min
      ? `With fewer than ${data.samples_min} trials that have a value there is nothing to say.`
        : "The values do not differ by any parameter."));
    return;
  }
  const most = Math.max(rows[0].found.share, data.floor) * 1.04;
  let all = false;
  function draw() {
    const shown = all ? rows : rows.slice(0, IMPORTANCE_ROWS);
    const domain = d3.extent(d3.merge(shown.map(r => r.found.marginal)));
    const grid = el("div", { class: "imp", "data-bars": shown.length },
      el("span", { class: "head" }, "parameter"), el("span", { class: "head" }, "share of the variance"),
        el("span", { class: "head" }), el("span", { class: "head" }, `mean ${cut(METRIC, 14)}`));
    for (const r of shown) grid.append(...importanceRow(r.p, r.found, data.floor, most, domain));
    body.replaceChildren(grid);
    if (rows.length > IMPORTANCE_ROWS)
      body.append(el("p", null, el("button", { type: "button", onclick() { all = !all; draw(); } }, all
        ? "Show fewer" : `Show all ${rows.length}`)));
  }
  draw();
  const rest = Math.max(0, 1 - d3.sum(rows, r => r.found.share));
  const trust = data.fit < 0.1 ? " It explains next to nothing of unseen trials: do not trust the shares." : "";
  section.querySelector(".note").textContent =
    `fANOVA over a random forest of ${count(data.samples)} trials' best values (failed ones ` +
    `left out); it explains ${percent(Math.max(0, data.fit))} of the variance of trials it has not seen.${trust} ` +
    `${percent(rest)} is interaction of parameters. What stays left of the dashed line could be chance. ` +
    "Trials were chosen by the search, and stopped ones count with what they had reached.";
}
