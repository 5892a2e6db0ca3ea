/* history.js - each trial's best value in the order of their starts, and the best so far. */

function drawHistory() {
  const section = byId("history");
  const points = trials.filter(t => t.best !== null);
  if (points.length === 0) {
    section.querySelector(".plot").replaceChildren(el("p", { class: "empty" },
      "No trial has reported the metric yet."));
    return;
  }
  const plot = new Plot(section, `${METRIC} of ${points.length} trials in the order of their starts`,
    ["dots", "marks"]);
  const margin = { top: 30, right: 14, bottom: 38, left: 58 };
  const view = { log: false, all: false };
  const values = points.map(t => t.best), positive = values.every(v => v > 0);
  let x, y, box;

  function arc(context, t, radius) {
    context.beginPath();
    context.arc(x(t.number), y(t.best), radius, 0, 7);
  }
  function cross(context, t, radius) {
    const left = x(t.number) - radius, top = y(t.best) - radius;
    context.beginPath();
    context.moveTo(left, top);
    context.lineTo(left + 2 * radius, top + 2 * radius);
    context.moveTo(left, top + 2 * radius);
    context.lineTo(left + 2 * radius, top);
  }
  function dots() {
    plot.drawAll(0, plot.context(0, box), points, (c, t) => {
      c.fillStyle = c.strokeStyle = colours[t.fate];
      c.globalAlpha = (isActive(t) ? 1 : 0.12) * Math.max(0.35, Math.min(0.9, 12 / Math.sqrt(points.length)));
      const radius = points.length > 1500 ? 2 : 3.2;
      if (t.fate === "failed") {
        c.lineWidth = 1.5;
        cross(c, t, radius);
        c.stroke();
      } else {
        arc(c, t, radius);
        c.fill();
      }
      return true;
    });
  }
  function marks() {
    const context = plot.context(1, box);
    for (const t of [pinned, hover]) {
      if (!t || t.best === null) continue;
      context.strokeStyle = t === hover ? colours.ink : colours.accent;
      context.lineWidth = 2.5;
      arc(context, t, 7);
      context.stroke();
    }
  }
  function bestLine() {
    let so = null;
    const path = [];
    for (const t of points)
      if (t.fate !== "failed" && isBetter(t.best, so)) { so = t.best; path.push([x(t.number), y(so)]); }
    if (path.length > 0) path.push([x.range()[1], path[path.length - 1][1]]);
    return d3.line().curve(d3.curveStepAfter)(path);
  }
  function draw(width) {
    plot.size(width, 300);
    const { domain, clipped } = valueDomain(values, view.all);
    const [left, right, bottom] = [margin.left, width - margin.right, plot.height - margin.bottom];
    x = d3.scaleLinear().domain([0, Math.max(1, DATA.trial_count - 1)]).range([left + 4, right - 4]);
    y = (view.log ? d3.scaleLog() : d3.scaleLinear()).domain(domain).range([bottom, margin.top]);
    if (!view.log) y.nice(5);
    box = { x: left, y: margin.top - 4, width: right - left, height: bottom - margin.top + 8 };
    const g = plot.svg;
    g.selectAll("*").remove();
    g.append("g").attr("class", "grid").attr("transform", `translate(${left},0)`)
      .call(axisOf(d3.axisLeft, y, view.log, 5).tickSize(left - right).tickFormat(""));
    g.append("g").attr("class", "axis").attr("transform", `translate(0,${bottom})`)
      .call(axisOf(d3.axisBottom, x, false, Math.max(3, Math.min(9, width / 80))));
    g.append("g").attr("class", "axis").attr("transform", `translate(${left},0)`)
      .call(axisOf(d3.axisLeft, y, view.log, 5));
    g.append("text").attr("class", "axis-title").attr("x", right).attr("y", plot.height - 4)
      .attr("text-anchor", "end").text("trial");
    g.append("text").attr("class", "axis-title").attr("x", 4).attr("y", 10).text(`best ${METRIC} of each`);
    g.append("path").attr("class", "best-line").attr("d", bestLine());
    dots();
    marks();
    section.querySelector(".note").textContent = "The line is the best so far."
      + (points.some(t => t.fate === "failed") ? " A cross is a trial that failed." : "")
      + (clipped > 0 ? ` ${count(clipped)} trials lie far on the worse side and are cut off.` : "");
  }
  const redraw = () => draw(plot.width), controls = section.querySelector(".controls");
  controls.replaceChildren();
  if (valueDomain(values, false).clipped > 0) controls.append(toggle("All values", false,
    on => { view.all = on; redraw(); }));
  if (positive) controls.append(toggle(`log ${METRIC.length > 16 ? "value" : METRIC}`, false,
    on => { view.log = on; redraw(); }));
  watchWidth(plot.host, draw);
  onHover(plot, (px, py) => {
    let found = null, least = 16;
    for (const t of points) {
      const distance = isActive(t) ? Math.hypot(x(t.number) - px, y(t.best) - py) : Infinity;
      if (distance < least) { least = distance; found = t; }
    }
    return found;
  });
  events.on("select.history", dots);
  events.on("hover.history", marks);
  events.on("pin.history", marks);
  events.on("theme.history", redraw);
}
