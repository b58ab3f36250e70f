// Tables: sort, filter, hide columns, export; long ones are unpacked when they are opened and shown bit by bit.
"use strict";

(() => {
  const STEP = 100, FEWEST_TO_FILTER = 4;
  // Cells as {text, key, style, hint}.
  function fromPage(cell) {
    const text = cell.querySelector("details")?.lastChild.textContent ?? cell.textContent;
    return {text, key: cell.dataset.key ?? text, style: cell.className, hint: cell.title};
  }
  function fromPack(packed, hints) {
    if (typeof packed === "string") return {text: packed, key: packed, style: "", hint: ""};
    const [text, key = text, style = "", hint] = packed;
    return {text, key, style, hint: hint === undefined ? "" : hints[hint]};
  }

  // A long text shows its beginning until it is opened, as in the page itself.
  const FOLDED = 100;
  function content(text) {
    if (text.length <= FOLDED) return text;
    const beginning = text.slice(0, FOLDED - 20).replace(/ [^ ]*$/, "");
    return longhot.element("details", {}, longhot.element("summary", {}, `${beginning} …`), text);
  }

  // The type in an empty cell says why when it is pressed; a dash stands where there is nothing to miss.
  function cell({text, style, hint}) {
    if (style === "empty" && hint && text !== "–") return longhot.element("td", {class: style}, longhot.why(text, hint));
    return longhot.element("td", {class: style || false, title: hint || false}, content(text));
  }

  // A filter: > 5, <= 2, = 3, 1..4, or words that the text must hold.
  function filterOf(text) {
    const wanted = text.trim().toLowerCase();
    const bound = /^(>=|<=|>|<|=)\s*([-+.\de]+)$/.exec(wanted);
    const span = /^([-+.\de]+)\s*\.\.\s*([-+.\de]+)$/.exec(wanted);
    const compare = {">": (x, y) => x > y, "<": (x, y) => x < y, ">=": (x, y) => x >= y, "<=": (x, y) => x <= y, "=": (x, y) => x === y};
    const numeric = test => cell => cell.key !== "" && test(Number(cell.key));
    if (bound && !Number.isNaN(Number(bound[2]))) return numeric(x => compare[bound[1]](x, Number(bound[2])));
    if (span) return numeric(x => x >= Number(span[1]) && x <= Number(span[2]));
    return cell => cell.text.toLowerCase().includes(wanted);
  }

  function order(up, place) {
    return (a, b) => {
      const [x, y] = [a[place].key, b[place].key];
      if (x === "" || y === "") return (x === "") - (y === "");
      const gap = Number(x) - Number(y);
      return (up ? 1 : -1) * (Number.isNaN(gap) ? x.localeCompare(y) : gap);
    };
  }

  const LATEX = {"\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_", "{": "\\{", "}": "\\}",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "±": "$\\pm$", "Å": "\\AA{}", "–": "--", "∝": "$\\propto$",
    "α": "$\\alpha$", "Δ": "$\\Delta$", "μ": "$\\mu$", "ν": "$\\nu$", "σ": "$\\sigma$", "τ": "$\\tau$", "χ": "$\\chi$",
    "κ": "$\\kappa$", "²": "$^2$", "³": "$^3$", "⟨": "$\\langle$", "⟩": "$\\rangle$", "<": "$<$", ">": "$>$", "\u00a0": "~"};
  const latex = text => [...text].map(letter => LATEX[letter] ?? letter).join("");

  class Table {
    constructor(element) {
      this.element = element;
      this.heads = [...element.tHead.rows[0].cells];
      this.columns = this.heads.map(head => ({name: head.dataset.name, label: head.dataset.label, unit: head.dataset.unit ?? ""}));
      this.rows = [...element.tBodies[0].rows].map(row => [...row.cells].map(fromPage));
      this.limit = STEP;
      this.restore();
      this.addTools();
      this.heads.forEach((head, place) => this.addHeading(head, place));
      this.show();
    }

    // The state in the address: <id>.sort, .find, .in<column> and .hide.
    get(name) { return longhot.state.get(`${this.element.id}.${name}`); }
    set(name, value) { longhot.state.set(`${this.element.id}.${name}`, value); }
    restore() {
      const [place, way] = (this.get("sort") ?? "").split("-");
      this.sorted = place in this.heads ? {place: Number(place), up: way !== "down"} : null;
      this.find = this.get("find") ?? "";
      this.filters = this.columns.map((_, column) => this.get(`in${column}`) ?? "");
      this.hidden = new Set((this.get("hide") ?? "").split(",").filter(column => column in this.heads).map(Number));
    }

    async unpack() {
      try {
        const {rows, hints} = await longhot.data(this.element.dataset.packed);
        this.rows = rows.map(row => row.map(cell => fromPack(cell, hints)));
        this.show();
        this.element.closest("details")?.classList.add("unpacked");
      } catch (error) {
        this.frame.after(longhot.element("p", {class: "note"}, `Only the first rows can be shown: ${error.message}`));
      }
    }

    addHeading(head, place) {
      const help = head.title;
      const sort = longhot.element("button", {type: "button", class: "sort", onclick: () => this.sortBy(place)}, ...head.childNodes);
      head.replaceChildren(sort);
      head.removeAttribute("title");
      if (!help) return;
      const label = `About ${head.dataset.label}`;
      const ask = longhot.element("button", {type: "button", class: "about", "aria-label": label, onclick: () => longhot.about(ask, help)}, "?");
      sort.after(ask);
    }

    addTools() {
      const {title} = this.element.dataset;
      const button = (text, onclick, more = {}) => longhot.element("button", {type: "button", onclick, ...more}, text);
      const search = longhot.element("input", {type: "search", placeholder: "Filter rows", "aria-label": `Filter rows of ${title}`, value: this.find});
      search.addEventListener("input", () => { this.find = search.value; this.set("find", this.find); this.restart(); });
      const byColumn = button("Filter columns", () => this.toggleFilters(byColumn), {"aria-pressed": "false"});
      const boxes = this.columns.map(({label, unit}, column) => {
        const box = longhot.element("input", {type: "checkbox", checked: !this.hidden.has(column)});
        box.addEventListener("change", () => {
          if (box.checked) this.hidden.delete(column); else this.hidden.add(column);
          this.set("hide", [...this.hidden].join(","));
          this.show();
        });
        return longhot.element("label", {}, box, ` ${label}${unit && ` (${unit})`}`);
      });
      const menu = longhot.element("details", {class: "menu"}, longhot.element("summary", {}, "Columns"), longhot.element("div", {}, ...boxes));
      menu.addEventListener("keydown", event => { if (event.key === "Escape") { menu.open = false; menu.firstChild.focus(); } });
      document.addEventListener("click", event => { if (!menu.contains(event.target)) menu.open = false; });
      this.count = longhot.element("span", {class: "count", role: "status"});
      const name = this.element.id.replace(/^table-/, "");
      const filters = Number(this.element.dataset.rows ?? this.rows.length) < FEWEST_TO_FILTER ? [] : [search, byColumn];
      const tools = longhot.element("div", {class: "tools", role: "group", "aria-label": `Tools of ${title}`}, ...filters, menu,
        button("CSV", () => longhot.save(`${name}.csv`, this.csv(), "text/csv")),
        button("LaTeX", () => longhot.save(`${name}.tex`, this.latex(), "text/x-tex")), this.count);
      this.frame = this.element.parentElement;
      this.frame.before(tools);
      this.more = button("Show more rows", () => { this.limit += 5 * STEP; this.show(); }, {class: "more"});
      this.frame.after(this.more);
      if (this.filters.some(Boolean)) this.toggleFilters(byColumn);
    }

    toggleFilters(button) {
      const isOn = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", String(isOn));
      if (!isOn) {
        this.filterRow.remove();
        this.filterRow = null;
        this.filters.forEach((_, column) => this.setFilter(column, ""));
      } else {
        const inputs = this.columns.map(({label}, column) => {
          const input = longhot.element("input", {type: "search", "aria-label": `Filter ${label}`, value: this.filters[column]});
          input.addEventListener("input", () => this.setFilter(column, input.value));
          return longhot.element("td", {}, input);
        });
        this.filterRow = longhot.element("tr", {class: "filters"}, ...inputs);
        this.element.tHead.append(this.filterRow);
      }
      this.restart();
    }

    setFilter(column, text) {
      this.filters[column] = text;
      this.set(`in${column}`, text);
      this.restart();
    }

    sortBy(place) {
      const up = !(this.sorted?.place === place && this.sorted.up);
      this.sorted = {place, up};
      this.set("sort", `${place}-${up ? "up" : "down"}`);
      this.restart();
    }

    restart() {
      this.limit = STEP;
      this.show();
    }

    // The rows that the filters leave, in order.
    view() {
      const tests = this.filters.map((text, column) => text.trim() && [column, filterOf(text)]).filter(Boolean);
      const found = this.find.trim().toLowerCase();
      const kept = this.rows.filter(row => tests.every(([column, test]) => test(row[column]))
        && (!found || row.some(cell => cell.text.toLowerCase().includes(found))));
      return this.sorted ? kept.sort(order(this.sorted.up, this.sorted.place)) : kept;
    }

    shown(cells) { return cells.filter((_, column) => !this.hidden.has(column)); }

    show() {
      const view = this.view();
      this.heads.forEach((head, place) => {
        head.hidden = this.hidden.has(place);
        if (this.filterRow) this.filterRow.cells[place].hidden = head.hidden;
        if (this.sorted?.place === place) head.setAttribute("aria-sort", this.sorted.up ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
      this.element.tBodies[0].replaceChildren(...view.slice(0, this.limit).map(row =>
        longhot.element("tr", {}, ...this.shown(row).map(cell))));
      const all = `${this.rows.length} row${this.rows.length === 1 ? "" : "s"}`;
      this.count.textContent = view.length === this.rows.length ? all : `${view.length} of ${all}`;
      this.more.hidden = view.length <= this.limit;
    }

    csv() {
      const heads = this.columns.map(({name, label, unit}) => name ?? (unit ? `${label} (${unit})` : label));
      // A cell of several numbers, which sorts by the first, keeps its text.
      const value = ({text, key, style}) => style.includes("empty") ? "" : style.includes("number") && text.includes(" ") ? text : key;
      return longhot.csv([this.shown(heads), ...this.view().map(row => this.shown(row).map(value))]);
    }

    latex() {
      const {title} = this.element.dataset, view = this.view();
      const columns = this.shown(this.columns), line = cells => `    ${cells.join(" & ")} \\\\`;
      const isNumber = this.columns.map((_, column) => view.some(row => row[column].style.includes("number")));
      const body = view.map(row => line(this.shown(row).map(({text}) => latex(text))));
      return [
        "% needs \\usepackage{booktabs}", "\\begin{table}", "  \\centering", `  \\caption{${latex(title)}}`, `  \\label{tab:${this.element.id}}`,
        `  \\begin{tabular}{${this.shown(isNumber).map(one => (one ? "r" : "l")).join("")}}`, "    \\toprule",
        line(columns.map(({label, unit}) => latex(unit ? `${label} (${unit})` : label))), "    \\midrule", ...body, "    \\bottomrule",
        "  \\end{tabular}", "\\end{table}", "",
      ].join("\n");
    }
  }

  function start(element) {
    const table = new Table(element);
    if (element.dataset.packed) table.unpack();
  }

  // A table within a closed part costs nothing until it is opened.
  for (const element of document.querySelectorAll("table.sortable")) {
    const part = element.closest("details");
    if (!part || part.open) start(element);
    else part.addEventListener("toggle", () => start(element), {once: true});
  }
})();
