// Building and updating elements. Whatever comes from the ambassador becomes text
// and nothing else: names and addresses are chosen by strangers.

const SVG = "http://www.w3.org/2000/svg";

export const byID = (id) => document.getElementById(id);

export function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

export function shape(name, attributes, text) {
  const e = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  if (text !== undefined) e.textContent = text;
  return e;
}

// setText touches the page only when the text is another one: a selection stays,
// and a screen reader hears only what has changed.
export function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

// reconcile makes the children of parent those of items, keeping the elements whose
// key is still there.
export function reconcile(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].map((e) => [e.dataset.key, e]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let e = old.get(key);
    if (e) {
      old.delete(key);
    } else {
      e = make(item);
      e.dataset.key = key;
    }
    if (e === place) place = place.nextElementSibling;
    else parent.insertBefore(e, place);
    update(e, item);
  }
  for (const e of old.values()) e.remove();
}

// badge is a state in a color, with its mark and its word.
export function setBadge(e, state, word, mark) {
  e.className = "badge";
  if (e.dataset.state !== state) e.dataset.state = state;
  setText(e, mark ? `${mark} ${word}` : word);
}

// Table shows rows under columns. On a narrow page each row becomes a card, by CSS,
// which takes the meaning of table elements away: the roles give it back.
export class Table {
  // columns: {name, text(row), title?(row), value?(row), badge?(row) → [state, word, mark], number?}
  constructor(parent, label, columns, empty) {
    this.columns = columns;
    this.scroll = element("div", "scroll");
    this.scroll.setAttribute("role", "region");
    this.scroll.setAttribute("aria-label", `${label}, table`);
    this.scroll.tabIndex = 0;
    const table = element("table");
    table.setAttribute("role", "table");
    table.setAttribute("aria-label", label);
    const head = element("thead");
    head.setAttribute("role", "rowgroup");
    const row = element("tr");
    row.setAttribute("role", "row");
    for (const c of columns) {
      const th = element("th", c.number ? "number" : "", c.name);
      th.scope = "col";
      th.setAttribute("role", "columnheader");
      row.append(th);
    }
    head.append(row);
    this.body = element("tbody");
    this.body.setAttribute("role", "rowgroup");
    table.append(head, this.body);
    this.scroll.append(table);
    this.empty = element("p", "empty", empty);
    parent.replaceChildren(this.scroll, this.empty);
    this.scroll.hidden = this.empty.hidden = true; // nothing is known yet
  }

  show(rows, keyOf) {
    this.scroll.hidden = rows.length === 0;
    this.empty.hidden = rows.length > 0;
    reconcile(this.body, rows, keyOf, () => this.row(), (e, item) => this.update(e, item));
  }

  row() {
    const tr = element("tr");
    tr.setAttribute("role", "row");
    this.columns.forEach((c, i) => {
      const cell = element(i === 0 ? "th" : "td", c.number ? "number" : c.badge ? "state" : "words");
      if (i === 0) cell.scope = "row";
      cell.setAttribute("role", i === 0 ? "rowheader" : "cell");
      cell.dataset.label = c.name;
      cell.append(element("span"));
      tr.append(cell);
    });
    return tr;
  }

  update(tr, item) {
    this.columns.forEach((c, i) => {
      const cell = tr.children[i], span = cell.firstElementChild;
      if (c.badge) setBadge(span, ...c.badge(item));
      else setText(span, c.text(item));
      cell.classList.toggle("none", span.textContent === "–");
      const title = c.title ? c.title(item) : "";
      if (cell.title !== title) cell.title = title;
      if (c.value) cell.dataset.value = String(c.value(item));
    });
  }
}
