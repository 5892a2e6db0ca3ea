/* ui.js - elements, colours, canvases, the tooltip. */

/* el("div", {class: "x", onclick: f}, child, "text"): texts never become markup. */
function el(tag, attrs, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attrs || {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true
      ? "" : value);
  }
  node.append(...children.filter(c => c !== null && c !== undefined && c !== ""));
  return node;
}
const dot = fate => el("span", { class: "dot", style: `--c: var(--${fate})` });
const byId = id => document.getElementById(id);

/* A button that is on or off. */
function toggle(label, on, change, title) {
  const button = el("button", { type: "button", "aria-pressed": String(on), title, onclick() {
    on = !on;
    button.setAttribute("aria-pressed", String(on));
    change(on);
  } }, label);
  return button;
}

/* ---- colours: canvases need them as values ---- */

let colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of [...FATES, "other", "best", "ink", "muted", "line", "card", "accent"])
    colours[name] = style.getPropertyValue("--" + name).trim();
  colours.dark = document.documentElement.dataset.theme === "dark";
}

/* Better trials stand out from the card, whichever way that is. */
function rampColour(goodness) {
  return colours.dark ? d3.interpolateViridis(0.22 + 0.78 * goodness) : d3.interpolateYlGnBu(0.22 + 0.78 * goodness);
}
function rampGradient() {
  return `linear-gradient(90deg, ${d3.range(0, 1.01, 0.125).map(rampColour).join(", ")})`;
}

/* ---- canvases ---- */

/* A plot: canvases below an svg that has axes and takes the pointer.  draw(size) is
 * called at once, and again when the width or the colours change. */
class Plot {
  constructor(section, label, layers) {
    this.host = section.querySelector(".plot");
    this.host.textContent = "";
    this.layers = layers.map(name => this.host.appendChild(el("canvas", { "data-layer": name,
      "aria-hidden": "true" })));
    this.svg = d3.select(this.host).append("svg").attr("role", "img")
      .attr("aria-label", label + "; the arrow keys go through the trials by rank").attr("tabindex", 0);
    this.jobs = this.layers.map(() => 0);
    this.width = 0;
  }
  size(width, height) {
    this.width = width;
    this.height = height;
    const scale = Math.max(1, Math.min(window.devicePixelRatio || 1, 2));
    for (const canvas of this.layers) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = width + "px";
      canvas.style.height = height + "px";
      canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
    }
    this.svg.attr("width", width).attr("height", height).attr("viewBox", `0 0 ${width} ${height}`);
  }
  /* The layer's context, empty and clipped to @box. */
  context(layer, box) {
    const context = this.layers[layer].getContext("2d");
    const { a: scale } = context.getTransform();
    context.restore();
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.save();
    if (box) {
      context.beginPath();
      context.rect(box.x, box.y, box.width, box.height);
      context.clip();
    }
    context.lineJoin = "round";
    return context;
  }
  /* Draw @items in slices, so that the page answers while it draws many.  The canvas
   * tells how many were drawn. */
  drawAll(layer, context, items, one) {
    const job = ++this.jobs[layer], canvas = this.layers[layer];
    let at = 0, drawn = 0;
    const slice = () => {
      if (job !== this.jobs[layer]) return;
      const until = performance.now() + 24;
      while (at < items.length && (at % 16 !== 0 || performance.now() < until))
        if (one(context, items[at++])) drawn++;
      canvas.dataset.drawn = drawn;
      canvas.toggleAttribute("data-busy", at < items.length);
      if (at < items.length) requestAnimationFrame(slice);
    };
    slice();
  }
}

/* Redraw when the width changes. */
function watchWidth(host, draw) {
  let width = 0;
  new ResizeObserver(entries => {
    const now = Math.floor(entries[0].contentRect.width);
    if (now > 0 && now !== width) { width = now; draw(now); }
  }).observe(host);
  width = Math.floor(host.getBoundingClientRect().width);
  draw(width);
}

/* Where the pointer is in the svg of a plot. */
function pointIn(event, plot) {
  const box = plot.svg.node().getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

/* The pointer, and the arrow keys for those who have none: along the trials by their rank. */
function onHover(plot, find) {
  const node = plot.svg.node();
  node.addEventListener("pointermove", event => {
    const t = find(...pointIn(event, plot));
    setHover(t || null);
    if (t) showTip(trialTip(t), event.clientX, event.clientY); else hideTip();
  });
  node.addEventListener("pointerleave", () => { setHover(null); hideTip(); });
  node.addEventListener("click", event => {
    const t = find(...pointIn(event, plot));
    if (t) setPinned(pinned === t ? null : t);
  });
  node.addEventListener("keydown", event => {
    const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const list = ranked.filter(isActive);
    if (event.key === "Enter" && hover) setPinned(pinned === hover ? null : hover);
    if (!way || list.length === 0) return;
    event.preventDefault();
    const t = list[(list.indexOf(hover) + way + list.length) % list.length];
    const box = node.getBoundingClientRect();
    setHover(t);
    showTip(trialTip(t), box.left + 60, box.top + 30);
  });
  node.addEventListener("blur", () => { setHover(null); hideTip(); });
}

/* Ticks of a logarithmic scale: powers of ten, with 2 and 5 where there is room. */
function logTicks(scale, most) {
  const [low, high] = scale.domain().slice().sort((a, b) => a - b), all = [];
  const decades = Math.log10(high / low), steps = decades > most / 2 ? [1] : decades > most / 4 ? [1, 3] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(decades / most));
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const m of steps)
      if (power % every === 0 && m * 10 ** power >= low * 0.999 && m * 10 ** power <= high * 1.001)
        all.push(Number((m * 10 ** power).toPrecision(3)));
  return all.length > 1 ? all : [low, high];
}

/* An axis of @scale with a few short labels. */
function axisOf(make, scale, log, most) {
  const axis = make(scale).tickSizeOuter(0);
  return log ? axis.tickValues(logTicks(scale, most)).tickFormat(tickText) : axis.ticks(most).tickFormat(tickText);
}
function tickText(x) {
  const size = Math.abs(x);
  if (x !== 0 && (size >= 1e5 || size < 1e-3)) return x.toExponential().replace(/(\.\d\d)\d+e/, "$1e")
    .replace("e+", "e");
  return Number.isInteger(x) ? x.toLocaleString("en-US") : String(Number(x.toPrecision(4)));
}

/* ---- the tooltip ---- */

function showTip(content, x, y) {
  const tip = byId("tip");
  tip.textContent = "";
  tip.append(content);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16) + "px";
  tip.style.top = Math.max(6, Math.min(y + 16, innerHeight - box.height - 6)) + "px";
}
function hideTip() { byId("tip").hidden = true; }

const TIP_PARAMS = 14;
function trialTip(t) {
  const rows = [[METRIC, t.best === null ? "–" : `${number(t.best)} at step ${count(t.bestStep)}`],
    ["steps", count(t.step)],
    ["time", duration(t.ran)]];
  const order = params.slice().sort((a, b) => shareOf(b) - shareOf(a)).slice(0, TIP_PARAMS);
  for (const p of params.filter(q => order.includes(q)))
    if (t.x[p.k] !== null) rows.push([p.name, paramText(p, t.x[p.k])]);
  if (params.length > TIP_PARAMS) rows.push(["", `and ${params.length - TIP_PARAMS} more`]);
  return el("div", null,
    el("div", { class: "head" }, dot(t.fate), `Trial ${t.number}`, el("span", { class: "muted" }, t.state)),
    el("table", null, ...rows.map(([name, value]) => el("tr", null, el("th", null, name), el("td", null, value)))),
    t.why ? el("div", { class: "why" }, t.why) : null);
}
const shareOf = p => DATA.importance.params[p.k] ? DATA.importance.params[p.k].share : 0;
