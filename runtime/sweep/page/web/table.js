/* table.js - the trials that are looked at, sorted by any column, a page at a time. */

const ROWS = 25;
const tableView = { key: "best", down: false, page: 0 };

function tableColumns() {
  const list = [
    { key: "number", name: "trial", of: t => t.number, text: t => String(t.number) },
    { key: "state", name: "state", of: t => t.state, left: true },
    { key: "best", name: METRIC, of: t => t.best, text: t => number(t.best), title: "its best value" },
    { key: "bestStep", name: "at step", of: t => t.best === null ? null : t.bestStep,
      text: t => t.best === null ? "–" : count(t.bestStep) },
    { key: "step", name: "steps", of: t => t.step, text: t => count(t.step) },
    { key: "runs", name: "runs", of: t => t.runs, text: t => count(t.runs) },
    { key: "ran", name: "time", of: t => t.ran, text: t => duration(t.ran) },
    ...params.map(p => ({ key: "p" + p.k, name: p.name, text: t => paramText(p, t.x[p.k]),
      of: t => t.x[p.k] === null ? null : p.choices ? (p.numeric ? Number(p.choices[t.x[p.k]])
        : p.choices[t.x[p.k]]) : t.x[p.k] })),
  ];
  if (trials.some(t => t.why)) list.push({ key: "why", name: "why it ended", of: t => t.why, text: t => t.why
    || "", left: true });
  return list;
}

function sorted(list, column, down) {
  const way = down ? -1 : 1;
  return list.slice().sort((a, b) => {
    const x = column.of(a), y = column.of(b);
    if (x === null || y === null) return (x === null) - (y === null) || a.i - b.i;   /* none is last either way */
    return (x < y ? -way : x > y ? way : 0) || a.i - b.i;
  });
}

function csv(list, cols) {
  const quote = x => x === null ? "" : /[",\n\r]/.test(String(x)) ? `"${String(x).replace(/"/g, '""')}"` : String(x);
  return [cols.map(c => quote(c.name)), ...list.map(t => cols.map(c => quote(c.of(t))))].map(row =>
    row.join(",")).join("\n") + "\n";
}

function drawTable() {
  const section = byId("table"), cols = tableColumns(), pager = section.querySelector(".pager");
  const body = el("tbody"), head = el("tr");
  let list = [];
  tableView.down = DATA.maximize;
  for (const column of cols) {
    column.th = el("th", { scope: "col", class: column.left ? "left" : null },
      el("button", { type: "button", title: column.title || `Sort by ${column.name}`, onclick() {
      tableView.down = tableView.key === column.key ? !tableView.down : column.key === "best" && DATA.maximize;
      tableView.key = column.key;
      tableView.page = 0;
      update();
    } }, column.name));
    head.append(column.th);
  }
  section.querySelector(".scroll").replaceChildren(el("table", { class: "trials" }, el("caption",
    { class: "hidden" }, "Trials"), el("thead", null, head), body));

  function row(t) {
    const tr = el("tr", { "data-trial": t.number, onclick() { setPinned(pinned === t ? null : t); },
      onpointerenter() { setHover(t); }, onpointerleave() { setHover(null); } });
    for (const c of cols)
      tr.append(c.key === "state" ? el("td", { class: "left" }, el("span", { class: "state" }, dot(t.fate), t.state))
        : el("td", { class: c.left ? "left" : null, title: c.text(t).length > 24 ? c.text(t) : null }, c.text(t)));
    t.row = tr;
    return tr;
  }
  function mark() {
    for (const tr of body.children) {
      const t = trialByNumber.get(Number(tr.dataset.trial));
      tr.classList.toggle("pinned", t === pinned);
      tr.classList.toggle("hover", t === hover);
      tr.classList.toggle("best", t === best);
    }
  }
  const step = (text, page, label, pages) => el("button",
    { type: "button", "aria-label": label, disabled: page < 0 || page >= pages || page === tableView.page,
    onclick() { tableView.page = page; update(); } }, text);
  function update() {
    const column = cols.find(c => c.key === tableView.key);
    list = sorted(trials.filter(isActive), column, tableView.down);
    const pages = Math.max(1, Math.ceil(list.length / ROWS));
    tableView.page = Math.min(tableView.page, pages - 1);
    for (const c of cols) c.th.setAttribute("aria-sort", c !== column ? "none" : tableView.down ? "descending"
      : "ascending");
    for (const c of cols) c.th.firstChild.textContent = c.name + (c !== column ? "" : tableView.down ? " ↓" : " ↑");
    const from = tableView.page * ROWS;
    body.replaceChildren(...list.slice(from, from + ROWS).map(row));
    body.dataset.rows = list.length;
    pager.replaceChildren(step("«", 0, "First page", pages), step("‹", tableView.page - 1, "Page before", pages),
      el("span", { role: "status" }, list.length
        ? `${count(from + 1)}–${count(Math.min(from + ROWS, list.length))} of ${count(list.length)}` : "none"),
      step("›", tableView.page + 1, "Next page", pages), step("»", pages - 1, "Last page", pages),
      DATA.trial_count > trials.length
        ? `The best ${count(trials.length)} of ${count(DATA.trial_count)} trials are on this page.` : "");
    mark();
  }
  const said = el("span", { class: "copied", role: "status" });
  section.querySelector(".controls").replaceChildren(said,
    el("button", { type: "button", title: "The trials that are chosen, as CSV",
      onclick() { copy(csv(list, cols), said); } }, "Copy CSV"));
  update();
  events.on("select.table", () => { tableView.page = 0; update(); });
  events.on("hover.table", mark);
  events.on("pin.table", mark);
}
