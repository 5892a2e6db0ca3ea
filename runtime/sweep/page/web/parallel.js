/* parallel.js - parallel coordinates: an axis a parameter and one for the metric, a
 * line a trial, and a brush on each axis. */

const AXIS_WIDTH_MIN = 104;             /* with less the plot scrolls sideways */
const JITTER = 9;                       /* pixels that choices are spread, so that lines do not lie on each other */

/* What an axis needs of a parameter, or of the metric. */
function parallelAxes() {
  const axes = params.map(p => ({ key: "p" + p.k, name: p.name, p, value: t => t.x[p.k], log: p.log }));
  if (valued.length > 0) {
    const { domain } = valueDomain(valued.map(t => t.best), false);
    axes.push({ key: "metric", name: METRIC, metric: true, domain, value: t => t.best });
  }
  return axes;
}

function parallelScale(axis, top, bottom) {
  if (axis.p && axis.p.choices) {
    /* Numbers in their order, whatever the file's is. */
    const order = d3.range(axis.p.choices.length);
    if (axis.p.numeric) order.sort((a, b) => axis.p.choices[a] - axis.p.choices[b]);
    return d3.scalePoint().domain(order).range([bottom, top]).padding(0.3);
  }
  const domain = axis.metric ? axis.domain : axis.p.low === axis.p.high ? [axis.p.low - 1, axis.p.high + 1]
    : [axis.p.low, axis.p.high];
  return (axis.log && domain[0] > 0 ? d3.scaleLog() : d3.scaleLinear()).domain(domain).range([bottom, top])
    .clamp(true);
}

const cut = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;
/* Of a nested parameter the last name is what tells it apart. */
const cutName = (name, most) => name.length > most ? cut(name.slice(name.lastIndexOf(".") + 1), most) : name;
const jitterOf = (t, k) => (((t.i * 2654435761 + k * 40503) >>> 8) % 1000 / 1000 - 0.5) * JITTER;

function drawParallel() {
  const section = byId("parallel"), axes = parallelAxes();
  const drawable = ranked.slice().reverse();    /* the best on top */
  if (axes.length < 2 || trials.length === 0) {
    section.querySelector(".plot").replaceChildren(el("p", { class: "empty" },
      "There are no parameters to compare yet."));
    return;
  }
  const plot = new Plot(section,
    `Parallel coordinates of ${trials.length} trials over ${axes.map(a => a.name).join(", ")}`,
    ["all", "chosen", "marks"]);
  const margin = { top: 48, right: 60, bottom: 30, left: 60 };
  let paths = [], ramp, bottom;

  function trialPath(t) {
    return axes.map((axis, k) => {
      const value = axis.value(t);
      if (value === null) return axis.metric ? null : [axis.x, bottom + 14];
      const jitter = axis.p && axis.p.choices && trials.length > 20 ? jitterOf(t, k) : 0;
      return [axis.x, axis.scale(value) + jitter];
    });
  }
  /* Gentle curves keep crossing lines apart. */
  function stroke(context, path) {
    context.beginPath();
    let from = null;
    for (const p of path) {
      if (p && from) {
        const third = (p[0] - from[0]) * 0.38;
        context.bezierCurveTo(from[0] + third, from[1], p[0] - third, p[1], p[0], p[1]);
      } else if (p) {
        context.moveTo(p[0], p[1]);
      }
      from = p;
    }
    context.stroke();
  }
  function lines() {
    const filtered = isFiltered();
    const alpha = Math.max(0.16, Math.min(0.85, 9 / Math.sqrt(Math.max(1, Math.min(activeCount, LINES_MAX)))));
    /* Among thousands only the best tenth may be dark, or nothing is seen. */
    const many = Math.max(0, Math.min(1, Math.log10(Math.max(1, activeCount) / 100)));
    const one = colour => (c, t) => {
      const weight = 0.45 + 0.55 * t.goodness;
      c.globalAlpha = Math.max(0.05, alpha * (t.best === null ? 0.4 : weight * (1 - many) + many * t.goodness ** 12));
      c.strokeStyle = colour(t);
      c.lineWidth = 1 + t.goodness * 0.8;
      c.setLineDash(t.best === null ? [4, 3] : []);
      stroke(c, paths[t.i]);
      return true;
    };
    const ofRank = t => t.best === null ? colours.failed : rampColour(t.goodness);
    plot.drawAll(0, plot.context(0), filtered ? backdrop() : drawable.filter(isDrawn), filtered ? faint
      : one(ofRank));
    note();
    plot.drawAll(1, plot.context(1), filtered ? drawable.filter(isDrawn) : [], one(ofRank));
  }
  function faint(c, t) {
    c.globalAlpha = 0.5;
    c.strokeStyle = colours.line;
    c.lineWidth = 1;
    c.setLineDash([]);
    stroke(c, paths[t.i]);
    return true;
  }
  function note() {
    section.querySelector(".note")
      .textContent = "Drag along an axis to choose a range; click beside it to let go. What is chosen is " +
      "shown in every plot and in the table, the rest in grey." +
      (trials.some(t => t.best === null) ? " Dashed: trials without a value." : "") + thinNote();
  }
  function marks() {
    const context = plot.context(2);
    for (const [t, colour] of [[best, colours.best], [pinned, colours.accent], [hover, colours.ink]]) {
      if (!t) continue;
      context.strokeStyle = colours.card;
      context.lineWidth = 5.5;
      stroke(context, paths[t.i]);
      context.strokeStyle = colour;
      context.lineWidth = 2.6;
      stroke(context, paths[t.i]);
    }
    const dim = hover || pinned ? 0.35 : 1;
    plot.layers[0].style.opacity = plot.layers[1].style.opacity = dim;
  }

  /* ---- brushes ---- */

  function brushed(axis, extent) {
    if (!extent) { setBrush(axis.key, null); return; }
    const [top, end] = extent;
    if (axis.p && axis.p.choices) {
      const chosen = axis.scale.domain().filter(c => axis.scale(c) >= top - JITTER / 2 && axis.scale(c) <= end
        + JITTER / 2);
      const set = new Set(chosen);
      const names = chosen.map(c => cut(axis.p.choices[c], 14)).join(", ");
      setBrush(axis.key, { text: `${cut(axis.name, 22)}: ${names || "none"}`, test: t => set.has(axis.value(t)) });
      return;
    }
    /* At an end of the axis what lies beyond it counts, too. */
    const range = axis.scale.range(), low = axis.scale.invert(end), high = axis.scale.invert(top);
    const open = [end >= range[0] - 3, top <= range[1] + 3];
    setBrush(axis.key, { text: `${cut(axis.name, 22)} ${number(low)} – ${number(high)}`, test(t) {
      const v = axis.value(t);
      return v !== null && (open[0] || v >= low) && (open[1] || v <= high);
    } });
  }
  function addBrush(g, axis, top) {
    axis.brush = d3.brushY().extent([[-14, top], [14, bottom]]).on("brush end", function (e) {
      const event = d3.event || e;      /* D3 5 has it there, later ones pass it */
      if (event.sourceEvent) brushed(axis, event.selection);
    });
    axis.node = g.append("g").attr("class", "brush").call(axis.brush);
  }

  /* ---- axes ---- */

  function drawAxes(width) {
    plot.svg.selectAll("*").remove();
    const room = Math.floor((width - margin.left - margin.right) / Math.max(1, axes.length - 1) / 7) - 1;
    for (const axis of axes) {
      const g = plot.svg.append("g").attr("class", "axis parallel-axis").attr("data-axis", axis.key)
        .attr("transform", `translate(${axis.x},0)`);
      if (axis.p && axis.p.choices) {
        const labels = axis.scale.domain().length <= 24 ? axis.scale.domain() : axis.scale.domain()
          .filter((c, k, all) => k % Math.ceil(all.length / 24) === 0);
        g.call(d3.axisLeft(axis.scale).tickValues(labels)
          .tickFormat(c => cut(axis.p.choices[c], Math.min(14, room))).tickSizeOuter(0));
      } else {
        g.call(axisOf(d3.axisLeft, axis.scale, axis.log && axis.scale.domain()[0] > 0, 6));
      }
      g.append("text").attr("class", "name").attr("x", 0).attr("y", 14).attr("text-anchor", "middle")
        .style("fill", axis.metric ? "var(--best)" : null).text(cutName(axis.name, Math.max(8, room - 1)))
          .append("title").text(axis.name);
      g.append("text").attr("x", 0).attr("y", 28).attr("text-anchor", "middle").style("fill", "var(--muted)")
        .text(axis.metric ? (DATA.maximize ? "more is better" : "less is better") : axis.log ? "log"
          : axis.p.choices ? "" : axis.p.whole ? "integer" : "");
      if (axis.p && trials.some(t => t.x[axis.p.k] === null))
        g.append("text").attr("x", 0).attr("y", bottom + 25).attr("text-anchor", "middle")
          .style("fill", "var(--muted)").text("not used");
      addBrush(g, axis, margin.top);
    }
  }
  function draw(hostWidth) {
    const width = Math.max(hostWidth, margin.left + margin.right + (axes.length - 1) * AXIS_WIDTH_MIN);
    plot.host.classList.toggle("sideways", width > hostWidth);
    plot.size(width, 380);
    bottom = plot.height - margin.bottom;
    axes.forEach((axis, k) => {
      axis.x = margin.left + k * (width - margin.left - margin.right) / (axes.length - 1);
      axis.scale = parallelScale(axis, margin.top, bottom);
    });
    paths = [];
    for (const t of trials) paths[t.i] = trialPath(t);
    drawAxes(width);
    lines();
    marks();
    if (ramp) ramp.style.background = rampGradient();
    for (const axis of axes) if (brushes.has(axis.key)) setBrush(axis.key, null);
  }
  ramp = el("span", { class: "ramp" });
  section.querySelector(".controls").replaceChildren(el("span", { class: "muted" }, "worse"), ramp,
    el("span", { class: "muted" }, "better, by rank"));
  watchWidth(plot.host, draw);
  onHover(plot, (px, py) => {
    let found = null, least = 10;
    const k = axes.findIndex((axis, i) => i + 1 < axes.length && px >= axis.x && px <= axes[i + 1].x);
    if (k < 0 || py < margin.top - 8) return null;
    const at = (px - axes[k].x) / (axes[k + 1].x - axes[k].x), eased = at * at * (3 - 2 * at);
    for (const t of ranked) {
      const a = paths[t.i][k], b = paths[t.i][k + 1];
      if (!a || !b || !isActive(t)) continue;
      const distance = Math.abs(a[1] + (b[1] - a[1]) * eased - py);
      if (distance < least) { least = distance; found = t; }
    }
    return found;
  });
  events.on("select.parallel", () => {
    for (const axis of axes)
      if (!brushes.has(axis.key) && d3.brushSelection(axis.node.node())) axis.node.call(axis.brush.move, null);
    lines();
  });
  events.on("hover.parallel", marks);
  events.on("pin.parallel", marks);
  events.on("theme.parallel", () => draw(Math.floor(plot.host.getBoundingClientRect().width)));
}
