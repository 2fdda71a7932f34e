// What brings map and table together. Text only ever reaches the page as text.
(function (R) {
  "use strict";
  R.element = function (name, attributes, text) {
    const element = document.createElement(name);
    for (const key of Object.keys(attributes)) element.setAttribute(key, attributes[key]);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  const formats = new Map();
  R.number = function (value, digits) {
    if (!formats.has(digits)) {
      formats.set(digits, new Intl.NumberFormat("en", { minimumFractionDigits: digits,
        maximumFractionDigits: digits }));
    }
    return formats.get(digits).format(value);
  };

  R.shown = function (column, index, unit) {
    const value = column.values[index];
    if (value === null) return "–";
    if (column.digits === null) return value;
    return R.number(value, column.digits) + (unit && column.unit ? " " + column.unit : "");
  };

  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  byId("map").style.setProperty("--aspect", data.grid.height / data.grid.width);
  const view = R.makeMap(data, byId("map"));
  R.fillLayers(data, view, byId("layers"));
  const table = R.makeTable(data, { table: byId("table"), said: byId("page-said"),
    back: byId("page-back"), on: byId("page-on") }, (index) => choose(index, true));

  const column = (name) => data.columns.find((each) => each.name === name);
  const brief = ["score", "area_m2", "area_px", "slope_mean_deg"].map(column).filter(Boolean);

  function tip(index) {
    const box = R.element("div", {});
    box.append(R.element("strong", {}, "Landslide " + R.shown(column("id"), index, false)));
    for (const each of brief) {
      box.append(R.element("div", {}, each.label + " " + R.shown(each, index, true)));
    }
    return box;
  }

  const outline = (style) => L.polygon([], { pane: "mark", interactive: false, fill: false,
    renderer: L.svg({ pane: "mark", padding: 0.5 }), ...style });
  const hovered = outline({ color: "#fff", weight: 3 });
  const marked = outline({ color: "#fff", weight: 4 });
  const core = outline({ color: "#c2410c", weight: 2 });
  const tooltip = L.tooltip({ direction: "top", offset: [0, -6], opacity: 1 });
  let pointed = -1;

  function hover(index, latlng) {
    if (latlng) tooltip.setLatLng(latlng);
    if (index === pointed) return;
    pointed = index;
    view.map.getContainer().classList.toggle("pointing", index >= 0);
    if (index < 0) { hovered.remove(); tooltip.remove(); return; }
    hovered.setLatLngs(view.polygons.latLngs(index)).addTo(view.map);
    tooltip.setContent(tip(index)).addTo(view.map);
  }

  function choose(index, jump) {
    table.mark(index);
    const place = byId("chosen");
    if (index < 0) { marked.remove(); core.remove(); place.replaceChildren(); return; }
    const [x0, y0, x1, y1] = view.polygons.box(index);
    for (const each of [marked, core]) {
      each.setLatLngs(view.polygons.latLngs(index)).addTo(view.map);
    }
    const list = R.element("dl", { class: "facts" });
    const add = (name, value) => {
      const line = R.element("div", {});
      line.append(R.element("dt", {}, name), R.element("dd", {}, value));
      list.append(line);
    };
    for (const each of data.columns) add(each.label, R.shown(each, index, true));
    place.replaceChildren(list);
    if (jump) {
      view.map.flyToBounds([[-y1, x0], [-y0, x1]], { maxZoom: view.map.getMaxZoom() - 1,
        padding: [60, 60], duration: 0.5, animate: view.map.options.zoomAnimation });
      byId("map-section").scrollIntoView({ block: "nearest" });
    }
  }

  R.watchPointer(view, hover, (index) => { if (index >= 0) choose(index, false); });
  byId("previous").addEventListener("click", () => choose(table.next(-1), true));
  byId("next").addEventListener("click", () => choose(table.next(1), true));
  byId("whole").addEventListener("click", () => view.map.fitBounds(view.all));
  const readout = (latlng) => {
    byId("readout").textContent = R.placeName(data, latlng.lng, -latlng.lat);
  };
  view.map.on("mousemove", (event) => readout(event.latlng));
  view.map.on("moveend", () => readout(view.map.getCenter()));
  readout(view.map.getCenter());
  Object.assign(R, { data, view, choose });
})((window.Report = window.Report || {}));
