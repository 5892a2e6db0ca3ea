/* main.js - draw everything.  A part that fails says so in its place, and the others stay. */

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  readColours();
  events.call("theme");
}
const systemTheme = matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;
const themeNow = () => chosenTheme || (systemTheme.matches ? "dark" : "light");
systemTheme.addEventListener("change", () => setTheme(themeNow()));
/* Paper is white.  Canvases stay as they are: what is drawn on them now would not be printed. */
addEventListener("beforeprint", () => { document.documentElement.dataset.theme = "light"; });
addEventListener("afterprint", () => { document.documentElement.dataset.theme = themeNow(); });

setTheme(themeNow());
const sections = { state: drawHead, tiles: drawTiles, filterbar: drawFilterBar, curves: drawCurves,
  best: drawBest, parallel: drawParallel,
  importance: drawImportance, history: drawHistory, timeline: drawTimeline, rungs: drawRungs, table: drawTable };
const failed = [];
for (const [id, draw] of Object.entries(sections)) {
  try {
    draw();
  } catch (e) {
    failed.push(id);
    console.error(e);
    byId(id).append(el("p", { class: "note" }, `This part could not be drawn: ${e.message}`));
  }
}
byId("theme").addEventListener("click", () => {
  chosenTheme = themeNow() === "dark" ? "light" : "dark";
  setTheme(chosenTheme);
});
addEventListener("keydown", event => {
  if (event.key === "Escape") { setPinned(null); setHover(null); hideTip(); }
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(event.target.tagName)) { event.preventDefault();
    byId("query").focus(); }
});
document.documentElement.dataset.drawn = failed.length ? failed.join(" ") : "all";
