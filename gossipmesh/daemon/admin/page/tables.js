// Tables that can be sorted and filtered, and that keep what is in them: rows are changed where something changed, so that
// focus and selected text stay while the page follows the mesh.

const SHOWN_ROWS = 200; // Until somebody asks for all: a browser takes long to lay out thousands.
const FILTER_FROM = 9; // A filter for fewer rows would only be in the way.
const collator = new Intl.Collator(undefined, {numeric: true});

// Makes an element. Text is only ever set as text: names come from other members.
function element(tag, {text, className, ...attributes} = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setMark(node, mark) {
  if ((node.dataset.mark ?? "") !== mark) {
    if (mark) node.dataset.mark = mark;
    else delete node.dataset.mark;
  }
}

function compared(one, other) {
  return typeof one === "number" && typeof other === "number" ? one - other : collator.compare(one, other);
}

// Makes the children of `parent` exactly `wanted`, and moves as few as it can: what is moved loses the focus.
function arrange(parent, wanted) {
  const focused = document.activeElement;
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of wanted) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus();
}

// A table in a section. `columns`: {title, text(row), order(row)?, mark(row)?, number?}. `none`: what to say where there
// are no rows. `detail`, where rows can be opened: {opened(key), toggled(key)}; the element of the open one, or null.
class Table {
  constructor(section, columns, none, detail = null) {
    Object.assign(this, {columns, none, detail, rows: [], lines: new Map(), sorted: 0, down: false, all: false});
    this.count = section.querySelector(".count");
    this.input = element("input", {type: "search", autocomplete: "off", spellcheck: "false"});
    this.input.addEventListener("input", () => this.draw());
    this.filter = element("label", {text: "Filter"}, this.input);
    this.more = element("button", {type: "button", className: "more"});
    this.more.addEventListener("click", () => { this.all = true; this.draw(); });
    this.empty = element("p", {className: "empty"});
    // The roles say what the elements are anyway; on a phone they are no table any more to look at.
    this.body = element("tbody");
    this.heads = columns.map((column, index) => this.head(column, index));
    const head = element("thead", {}, element("tr", {role: "row"}, ...this.heads));
    this.table = element("table", {role: "table", "aria-labelledby": section.getAttribute("aria-labelledby")}, head, this.body);
    section.append(element("div", {className: "tools"}, this.filter), this.table, this.empty, this.more);
    this.draw();
  }

  head({title, number}, index) {
    const button = element("button", {type: "button", text: title});
    button.addEventListener("click", () => {
      this.down = this.sorted === index && !this.down;
      this.sorted = index;
      this.draw();
    });
    return element("th", {scope: "col", role: "columnheader", className: number ? "number" : ""}, button);
  }

  // Takes rows anew; each has a key that is its own.
  show(rows) {
    this.rows = rows;
    this.draw();
  }

  draw() {
    const found = this.matching();
    const shown = this.all ? found : found.slice(0, SHOWN_ROWS);
    const lines = new Map();
    const wanted = [];
    for (const row of shown) {
      const line = this.lines.get(row.key) ?? this.line(row.key);
      lines.set(row.key, line);
      this.fill(line, row);
      wanted.push(line);
      const opened = this.detail?.opened(row.key);
      if (opened) wanted.push(opened);
    }
    this.lines = lines;
    arrange(this.body, wanted);
    this.heads.forEach((head, index) => {
      const direction = this.down ? "descending" : "ascending";
      head.setAttribute("aria-sort", index === this.sorted ? direction : "none");
    });
    this.tell(found.length, shown.length);
  }

  // Gives the rows that have every word of the filter in one of their cells, sorted; those that are alike, by name.
  matching() {
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (row) => {
      const text = this.columns.map((column) => column.text(row)).join("\n").toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const {order, text} = this.columns[this.sorted];
    const by = order ?? text, name = this.columns[0].text;
    const sign = this.down ? -1 : 1;
    const found = words.length ? this.rows.filter(matches) : [...this.rows];
    return found.sort((one, other) => sign * compared(by(one) ?? -1, by(other) ?? -1)
      || collator.compare(name(one), name(other)) || collator.compare(one.key, other.key));
  }

  tell(matching, shown) {
    const all = this.rows.length;
    setText(this.count, matching < all ? `${matching} of ${all}` : String(all));
    this.filter.hidden = all < FILTER_FROM && !this.input.value;
    this.table.hidden = !shown;
    this.empty.hidden = Boolean(shown);
    setText(this.empty, all ? "Nothing matches the filter." : this.none);
    this.more.hidden = shown === matching;
    setText(this.more, `Show all ${matching}; these are the first ${shown}`);
  }

  line(key) {
    const cells = this.columns.map(({title, number}) =>
      element("td", {role: "cell", "data-label": title, className: number ? "number" : ""}, element("span")));
    if (this.detail) {
      const button = element("button", {type: "button"});
      button.addEventListener("click", () => this.detail.toggled(key));
      cells[0].firstChild.replaceWith(button);
    }
    return element("tr", {role: "row"}, ...cells);
  }

  fill(line, row) {
    this.columns.forEach(({text, mark}, index) => {
      const inner = line.children[index].firstChild;
      setText(inner, text(row));
      setMark(inner, mark ? mark(row) : "");
    });
    if (this.detail) {
      line.firstChild.firstChild.setAttribute("aria-expanded", String(Boolean(this.detail.opened(row.key))));
    }
  }
}
