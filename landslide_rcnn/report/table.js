// The table of landslides: sorted by any column, a page at a time.
(function (R) {
  "use strict";
  const ROWS = 25; // on a page

  R.makeTable = function (data, parts, choose) {
    const columns = data.columns, listed = columns.filter((column) => column.listed);
    const count = columns.length ? columns[0].values.length : 0;
    const order = Array.from({ length: count }, (_, k) => k), place = new Int32Array(count);
    const state = { page: 0, sorted: null, down: false, chosen: -1 };
    const table = R.element("table", { id: "landslide-table" });
    const head = R.element("tr", {}), body = R.element("tbody", {});
    table.append(R.element("caption", { class: "unseen" },
      "Landslides; the buttons in the headings sort, those in the rows show it on the map"));
    for (const column of listed) head.append(heading(column));
    const top = R.element("thead", {});
    top.append(head);
    table.append(top, body);
    parts.table.replaceChildren(table);

    function heading(column) {
      const cell = R.element("th", { scope: "col", "aria-sort": "none", "data-name": column.name,
        class: column.digits === null ? "text" : "" });
      const button = R.element("button", { type: "button" }, column.label);
      if (column.unit) button.append(R.element("span", { class: "unit" }, " " + column.unit));
      button.append(R.element("i", { class: "arrow", "aria-hidden": "true" }));
      button.addEventListener("click", () => sort(column));
      cell.append(button);
      return cell;
    }

    function sort(column) {
      // Numbers begin with the largest, the number itself and text with the first.
      const first = column.name !== "id" && column.digits !== null;
      state.down = state.sorted === column ? !state.down : first;
      state.sorted = column;
      const values = column.values, sign = state.down ? -1 : 1;
      const compare = column.digits === null
        ? (a, b) => a.localeCompare(b, "en", { numeric: true }) : (a, b) => a - b;
      order.sort((a, b) => {
        if (values[a] === null || values[b] === null) {
          return (values[a] === null) - (values[b] === null) || a - b; // unknown ones last
        }
        return sign * compare(values[a], values[b]) || a - b;
      });
      for (const cell of head.children) {
        const own = cell.dataset.name === column.name;
        cell.setAttribute("aria-sort",
          own ? (state.down ? "descending" : "ascending") : "none");
      }
      state.page = 0;
      number();
      show();
    }

    function number() { order.forEach((row, k) => { place[row] = k; }); }

    function row(index) {
      const line = R.element("tr", { "data-row": index });
      listed.forEach((column, k) => {
        const text = R.shown(column, index, false);
        const cell = R.element(k ? "td" : "th", { class: column.digits === null ? "text" : "" });
        if (k) cell.textContent = text;
        else {
          cell.scope = "row";
          const button = R.element("button", { type: "button", class: "jump" }, text);
          button.setAttribute("aria-label", "Show landslide " + text + " on the map");
          button.addEventListener("click", (event) => { event.stopPropagation(); choose(index); });
          cell.append(button);
        }
        line.append(cell);
      });
      line.addEventListener("click", () => choose(index));
      if (index === state.chosen) line.setAttribute("aria-current", "true");
      return line;
    }

    function show() {
      const pages = Math.max(Math.ceil(count / ROWS), 1);
      state.page = Math.min(Math.max(state.page, 0), pages - 1);
      const start = state.page * ROWS, rows = order.slice(start, start + ROWS);
      body.replaceChildren(...rows.map(row));
      parts.said.textContent = count
        ? `${R.number(start + 1, 0)} to ${R.number(start + rows.length, 0)} of ` +
          `${R.number(count, 0)}` : "The map has no landslide.";
      parts.back.disabled = state.page === 0;
      parts.on.disabled = state.page === pages - 1;
    }

    parts.back.addEventListener("click", () => { state.page--; show(); });
    parts.on.addEventListener("click", () => { state.page++; show(); });
    number();
    show();
    return {
      mark(index) {
        state.chosen = index;
        if (index >= 0) state.page = Math.floor(place[index] / ROWS);
        show();
      },
      // The landslide `step` rows further on than the chosen one.
      next(step) {
        if (!count) return -1;
        const from = state.chosen < 0 ? (step > 0 ? -1 : 0) : place[state.chosen];
        return order[(from + step + count) % count];
      },
    };
  };
})((window.Report = window.Report || {}));
