/* curves.js - learning curves: a line a trial, coloured by its fate. */

const curveView = { logX: false, logY: false, all: false, smooth: 0 };

function curveExtent() {
  let most = 1, positive = true;
  const values = [];
  for (const t of trials)
    for (let k = 0; k < t.curve.length; k += 2) {
      most = Math.max(most, t.curve[k]);
      if (t.curve[k + 1] === null) continue;
      values.push(t.curve[k + 1]);
      positive = positive && t.curve[k + 1] > 0;
    }
  return { most, values, positive };
}

/* Points [x, y] on the screen; null where the value is no number.  Smoothing is the
 * exponential mean that W&B and TensorBoard draw, started without bias. */
function curvePath(t, x, y) {
  const path = [];
  let mean = 0, weight = 0;
  for (let k = 0; k < t.curve.length; k += 2) {
    let value = t.curve[k + 1];
    if (value === null) { path.push(null); continue; }
    mean = curveView.smooth * mean + (1 - curveView.smooth) * value;
    weight = curveView.smooth * weight + (1 - curveView.smooth);
    path.push([x(t.curve[k]), y(mean / weight)]);
  }
  return path;
}

function strokePath(context, path) {
  let pen = false;
  context.beginPath();
  for (const p of path) {
    if (p === null) { pen = false; continue; }
    if (pen) context.lineTo(p[0], p[1]); else context.moveTo(p[0], p[1]);
    pen = true;
  }
  context.stroke();
  if (path.length === 1 && path[0]) {   /* one report is a dot */
    context.beginPath();
    context.arc(path[0][0], path[0][1], 2.4, 0, 7);
    context.fill();
  }
}

/* How far the point is from the path, which has rising x. */
function pathDistance(path, px, py) {
  let least = Infinity;
  for (let k = 0; k < path.length; k++) {
    const a = path[k], b = path[k + 1] || a;
    if (!a || (b[0] < px - 24 && k + 1 < path.length) || a[0] > px + 24) continue;
    const dx = b[0] - a[0], dy = b[1] - a[1], size = dx * dx + dy * dy;
    const at = size > 0 ? Math.max(0, Math.min(1, ((px - a[0]) * dx + (py - a[1]) * dy) / size)) : 0;
    least = Math.min(least, Math.hypot(a[0] + at * dx - px, a[1] + at * dy - py));
  }
  return least;
}
function nearest(list, paths, px, py) {
  let found = null, least = 22;
  for (const t of list) {
    const distance = paths[t.i] ? pathDistance(paths[t.i], px, py) : Infinity;
    if (distance < least) { least = distance; found = t; }
  }
  return found;
}

function drawCurves() {
  const section = byId("curves"), extent = curveExtent();
  /* Where most were stopped in the first tenth, a linear axis would be empty but for that. */
  const short = trials.filter(t => t.step > 0 && t.step <= extent.most / 8).length;
  curveView.logX = extent.most >= 9 && short > trials.length / 2;
  const narrow = valueDomain(extent.values, false), wide = valueDomain(extent.values, true);
  /* Of many brackets they hide each other. */
  const showsCuts = DATA.rungs.length <= 2 * new Set(DATA.rungs.map(r => r[2])).size + 6;
  const withCurve = trials.filter(t => t.curve.length > 0);
  if (withCurve.length === 0) {
    section.querySelector(".plot").replaceChildren(el("p", { class: "empty" },
      "No trial has reported the metric yet."));
    return;
  }
  const plot = new Plot(section, `Learning curves of ${withCurve.length} trials: ${METRIC} by step`,
    ["lines", "marks"]);
  const margin = { top: 30, right: 14, bottom: 38, left: 58 };
  let paths = [], x, y, box, words = "";
  /* Those in the foreground last: running and complete ones over stopped ones. */
  const order = { other: 0, stopped: 1, failed: 2, paused: 3, complete: 4, running: 5 };
  const inOrder = withCurve.slice().sort((a, b) => order[a.fate] - order[b.fate] || a.goodness - b.goodness);

  function lines() {
    section.querySelector(".note").textContent = words + thinNote();
    const dense = Math.min(1, 6 / Math.sqrt(Math.max(1, Math.min(activeCount, LINES_MAX))));
    const context = plot.context(0, box);
    context.strokeStyle = context.fillStyle = colours.line;
    context.globalAlpha = 0.7;
    for (const t of backdrop()) if (paths[t.i]) strokePath(context, paths[t.i]);
    plot.drawAll(0, context, inOrder, (c, t) => {
      if (!isDrawn(t)) return false;
      const faint = t.fate === "stopped" || t.fate === "other";
      c.strokeStyle = c.fillStyle = colours[t.fate];
      c.globalAlpha = Math.max(0.08, Math.min(1, (faint ? 0.75 : 1.4) * dense));
      c.lineWidth = faint ? 1.1 : 1.5;
      c.setLineDash(t.fate === "failed" ? [5, 3] : []);
      strokePath(c, paths[t.i]);
      return true;
    });
  }
  function marks() {
    const context = plot.context(1, box);
    const shown = [[best, colours.best, 2.4], [pinned, colours.accent, 3], [hover, colours.ink, 2.6]];
    for (const [t, colour, width] of shown) {
      if (!t || !paths[t.i]) continue;
      context.strokeStyle = colours.card;
      context.lineWidth = width + 3;
      strokePath(context, paths[t.i]);
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = width;
      strokePath(context, paths[t.i]);
    }
    plot.layers[0].style.opacity = hover || pinned ? 0.45 : 1;
  }
  function axes(width) {
    const g = plot.svg;
    g.selectAll("*").remove();
    const ticks = Math.max(3, Math.min(10, Math.floor(width / 80)));
    g.append("g").attr("class", "grid").attr("transform", `translate(${margin.left},0)`)
      .call(axisOf(d3.axisLeft, y, curveView.logY, 6).tickSize(-(width - margin.left - margin.right)).tickFormat(""));
    g.append("g").attr("class", "axis").attr("transform", `translate(0,${plot.height - margin.bottom})`)
      .call(axisOf(d3.axisBottom, x, curveView.logX, ticks));
    g.append("g").attr("class", "axis").attr("transform", `translate(${margin.left},0)`)
      .call(axisOf(d3.axisLeft, y, curveView.logY, 6));
    g.append("text").attr("class", "axis-title").attr("x", width - margin.right).attr("y", plot.height - 4)
      .attr("text-anchor", "end").text("step");
    g.append("text").attr("class", "axis-title").attr("x", 4).attr("y", 10).text(METRIC);
    rungMarks(g);
    if (best && paths[best.i].length > 0) {
      const at = [x(best.bestStep), y(best.best)];
      g.append("circle").attr("class", "best-dot").attr("r", 5).attr("cx", at[0]).attr("cy", at[1]);
      const right = at[0] > width - 150;
      g.append("text").attr("class", "best-label").attr("x", at[0] + (right ? -9 : 9))
        .attr("text-anchor", right ? "end" : "start")
        .attr("y", at[1] > plot.height - margin.bottom - 24 ? at[1] - 9 : at[1] + 16)
          .text(`best ${number(best.best)}`);
    }
  }
  /* Where trials are judged, and the value that would be let on now. */
  function rungMarks(g) {
    const steps = [...new Set(DATA.rungs.map(r => r[2]))].filter(s => s < extent.most && s >= x.domain()[0]);
    if (steps.length > 40) return;
    for (const step of steps)
      g.append("line").attr("class", "rung-line").attr("x1", x(step)).attr("x2", x(step))
        .attr("y1", margin.top).attr("y2", plot.height - margin.bottom);
    for (const [, , step, , reached, , cut] of showsCuts ? DATA.rungs : [])
      if (reached > 0 && cut !== null && step < extent.most && cut >= d3.min(y.domain()) && cut <= d3.max(y.domain()))
        g.append("line").attr("class", "rung-cut").attr("x1", x(step) - 6).attr("x2", x(step) + 6)
          .attr("y1", y(cut)).attr("y2", y(cut));
  }
  function draw(width) {
    plot.size(width, width < 500 ? 280 : 420);
    const { domain, clipped } = curveView.all ? wide : narrow;
    const [left, right, bottom] = [margin.left, width - margin.right, plot.height - margin.bottom];
    x = (curveView.logX ? d3.scaleLog() : d3.scaleLinear())
      .domain([curveView.logX ? 1 : Math.min(1, extent.most - 1), extent.most]).range([left + 6, right]);
    y = (curveView.logY ? d3.scaleLog() : d3.scaleLinear()).domain(domain).range([bottom, margin.top]);
    if (!curveView.logY) y.nice(6);
    box = { x: left, y: margin.top - 3, width: right - left + 3, height: bottom - margin.top + 6 };
    paths = [];
    for (const t of withCurve) paths[t.i] = curvePath(t, x, y);
    axes(width);
    const notes = [];
    if (clipped > 0)
      notes.push(`${count(clipped)} points lie far on the worse side and are cut off; "All values" shows them.`);
    if (DATA.thinned > 0)
      notes.push(`${count(DATA.thinned)} trials have more reports than the ${count(DATA.points_max)} points ` +
        "drawn of each: every 2nd, 4th … and the last one are kept.");
    if (DATA.rungs.length > 0) notes.push("Dotted lines are rungs, where trials are judged"
      + (showsCuts ? "; a short bar is the value that is let on now." : "."));
    words = notes.join(" ");
    lines();
    marks();
  }
  const redraw = () => draw(plot.width);
  const controls = section.querySelector(".controls");
  controls.replaceChildren();
  const smooth = el("input", { type: "range", min: "0", max: "0.95", step: "0.05", value: "0",
    "aria-label": "Smoothing",
    oninput(event) { curveView.smooth = Number(event.target.value); redraw(); } });
  controls.append(el("label", null, "smooth", smooth));
  if (narrow.clipped > 0)
    controls.append(toggle("All values", false, on => { curveView.all = on; redraw(); }, "Also those far out"));
  controls.append(toggle("log step", curveView.logX, on => { curveView.logX = on; redraw(); }));
  if (extent.positive)
    controls.append(toggle(`log ${METRIC.length > 16 ? "value" : METRIC}`, false,
      on => { curveView.logY = on; redraw(); }));
  watchWidth(plot.host, draw);
  onHover(plot, (px, py) => px < margin.left - 8 ? null : nearest(withCurve.filter(isActive), paths, px, py));
  events.on("select.curves", lines);
  events.on("hover.curves", marks);
  events.on("pin.curves", marks);
  events.on("theme.curves", redraw);
}
