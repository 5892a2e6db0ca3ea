/* timeline.js - which trial ran when: a lane a slot, a bar a run. */

const LANE_HEIGHT_MAX = 20, TIMELINE_HEIGHT_MAX = 420;

/* Runs in the order of their starts, each in the first lane that is free.  The record does
 * not say which slot a run had; this is one way in which they fit. */
function assignLanes() {
  const free = [];
  return DATA.runs.map(([trial, start, end, state]) => {
    let lane = free.findIndex(until => until <= start);
    if (lane < 0) lane = free.length;
    free[lane] = Math.max(end, start + 1e-6);
    return { trial: trialByNumber.get(trial), number: trial, start, end, lane, state: DATA.states[state],
      fate: fateOf(DATA.states[state]) };
  });
}

function drawTimeline() {
  const section = byId("timeline"), runs = assignLanes();
  if (runs.length === 0) {
    section.querySelector(".plot").replaceChildren(el("p", { class: "empty" }, "Nothing has run yet."));
    return;
  }
  const lanes = 1 + d3.max(runs, r => r.lane), byLane = d3.range(lanes).map(() => []);
  for (const r of runs) byLane[r.lane].push(r);
  const plot = new Plot(section, `Timeline of ${runs.length} runs in ${lanes} slots`, ["bars", "marks"]);
  const margin = { top: 6, right: 14, bottom: 42, left: 58 };
  const rowHeight = Math.max(1, Math.min(LANE_HEIGHT_MAX, Math.floor(TIMELINE_HEIGHT_MAX / lanes)));
  const last = Math.max(wall, d3.max(runs, r => r.end), 1);
  let x;

  const rect = r => [x(r.start), margin.top + r.lane * rowHeight,
    Math.max(1, x(r.end) - x(r.start) - (rowHeight > 4 ? 1 : 0)), Math.max(1, rowHeight - (rowHeight > 4 ? 2 : 0))];
  function bars() {
    plot.drawAll(0, plot.context(0), runs, (c, r) => {
      c.fillStyle = colours[r.fate];
      c.globalAlpha = r.trial && isActive(r.trial) ? 0.9 : 0.14;
      const [left, top, width, height] = rect(r);
      c.fillRect(left, top, width, height);
      if (r.fate === "failed" && width > 4 && height > 6) {     /* told apart without colour, too */
        c.strokeStyle = colours.card;
        c.lineWidth = 1.5;
        c.beginPath();
        c.moveTo(left, top + height);
        c.lineTo(left + Math.min(width, height), top);
        c.stroke();
      }
      return true;
    });
  }
  function marks() {
    const context = plot.context(1);
    for (const [t, colour] of [[best, colours.best], [pinned, colours.accent], [hover, colours.ink]])
      for (const r of t ? runs.filter(q => q.trial === t) : []) {
        const [left, top, width, height] = rect(r);
        context.strokeStyle = colour;
        context.lineWidth = 2;
        context.strokeRect(left, top, Math.max(3, width), height);
      }
  }
  function draw(width) {
    plot.size(width, margin.top + margin.bottom + lanes * rowHeight);
    const unit = last > 5400e3 ? 3600e3 : last > 100e3 ? 60e3 : last > 1500 ? 1000 : 1;
    const units = { 3600000: "hours", 60000: "minutes", 1000: "seconds", 1: "milliseconds" };
    x = d3.scaleLinear().domain([0, last]).range([margin.left, width - margin.right]);
    const shown = x.copy().domain([0, last / unit]);
    plot.svg.selectAll("*").remove();
    plot.svg.append("g").attr("class", "axis").attr("transform",
      `translate(0,${plot.height - margin.bottom + 4})`)
      .call(axisOf(d3.axisBottom, shown, false, Math.max(3, Math.min(10, width / 90))));
    plot.svg.append("text").attr("class", "axis-title").attr("x", width - margin.right)
      .attr("y", plot.height - 1).attr("text-anchor", "end").text(`${units[unit]} since it began`);
    const every = Math.max(1, Math.ceil(14 / rowHeight), Math.ceil(lanes / 20));
    const y = d3.scaleLinear().domain([0, lanes]).range([margin.top, margin.top + lanes * rowHeight]);
    const axis = d3.axisLeft(y).tickSize(0).tickValues(d3.range(0, lanes, every).map(k => k + 0.5))
      .tickFormat(k => `slot ${Math.floor(k) + 1}`);
    plot.svg.append("g").attr("class", "axis").attr("transform", `translate(${margin.left - 6},0)`)
      .call(axis).select(".domain").remove();
    bars();
    marks();
  }
  const busy = d3.sum(runs, r => r.end - r.start) / (lanes * last);
  const missing = DATA.run_count > runs.length
    ? ` The last ${count(runs.length)} of ${count(DATA.run_count)} runs are shown.` : "";
  section.querySelector(".note").textContent =
    `${count(runs.length)} runs in ${count(lanes)} slots, busy ${percent(Math.min(1, busy))} of the time.${missing}`;
  watchWidth(plot.host, draw);
  onHover(plot, (px, py) => {
    const lane = byLane[Math.floor((py - margin.top) / rowHeight)] || [], at = x.invert(px),
      slack = x.invert(px + 2) - at;
    const run = lane.find(r => at >= r.start - slack && at <= r.end + slack && r.trial && isActive(r.trial));
    return run ? run.trial : null;
  });
  events.on("select.timeline", bars);
  events.on("hover.timeline", marks);
  events.on("pin.timeline", marks);
  events.on("theme.timeline", () => draw(plot.width));
}
