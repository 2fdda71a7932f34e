// The map: pictures and polygons over each other, layers, coordinates, scale bar.
(function (R) {
  "use strict";
  const CLOSEST = 8; // CSS pixels of a pixel of the scene
  const REACH = 5; // CSS pixels by which a pointer may miss a small landslide
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  R.makeMap = function (data, element) {
    const { width, height } = data.grid;
    const all = L.latLngBounds([-height, 0], [0, width]);
    // At zoom 0 the whole scene just fits.
    const fit = Math.min(element.clientWidth / width, element.clientHeight / height) * 0.97;
    const crs = L.extend({}, L.CRS.Simple, { scale: (zoom) => fit * 2 ** zoom,
      zoom: (scale) => Math.log2(scale / fit) });
    const map = L.map(element, {
      crs, minZoom: -1, maxZoom: Math.max(Math.ceil(Math.log2(CLOSEST / fit)), 1),
      attributionControl: false, fadeAnimation: false, zoomAnimation: !calm, inertia: !calm,
      maxBounds: all.pad(0.5), maxBoundsViscosity: 0.6, zoomControl: false,
    });
    L.control.zoom({ position: "topleft" }).addTo(map);
    ["pictures", "polygons", "mark"].forEach((name, k) => {
      map.createPane(name).style.zIndex = 250 + 50 * k;
    });
    map.fitBounds(all, { animate: false });
    const layers = {};
    data.layers.forEach((layer, order) => {
      layers[layer.id] = layer.picture
        ? L.imageOverlay(layer.picture, all, { pane: "pictures", zIndex: order + 1, alt: "",
            className: layer.id === "scene" ? "" : "classes" })
        : new R.PolygonLayer({ zIndex: order + 1, style: layer.style,
            polygons: new R.Polygons(layer.shapes, data.units, width, height) });
      if (layer.on) layers[layer.id].addTo(map);
    });
    addScaleBar(map, data.grid);
    return { map, layers, all, polygons: layers.landslides.options.polygons };
  };

  R.fillLayers = function (data, view, fieldset) {
    for (const layer of data.layers) {
      const label = R.element("label", { class: "layer" });
      const box = R.element("input", { type: "checkbox", id: "layer-" + layer.id });
      box.checked = layer.on;
      box.addEventListener("change", () => {
        if (box.checked) view.layers[layer.id].addTo(view.map);
        else view.layers[layer.id].remove();
      });
      label.append(box, R.element("span", {}, layer.label));
      const legend = R.element("ul", { class: "legend", "aria-label": "Legend: " + layer.label });
      for (const [name, kind] of layer.legend) {
        const item = R.element("li", {});
        item.append(R.element("i", { class: "swatch " + kind, "aria-hidden": "true" }), name);
        legend.append(item);
      }
      fieldset.append(label);
      if (layer.legend.length) fieldset.append(legend);
    }
  };

  function addScaleBar(map, grid) {
    const bar = L.control({ position: "bottomleft" });
    bar.onAdd = () => R.element("div", { class: "scale-bar" });
    bar.addTo(map);
    const update = () => {
      const perPixel = (grid.pixel_size_m || 1) / map.options.crs.scale(map.getZoom());
      const longest = Math.min(160, map.getSize().x / 3) * perPixel;
      const power = 10 ** Math.floor(Math.log10(longest));
      const length = [5, 2, 1].find((factor) => factor * power <= longest) * power;
      const text = !grid.pixel_size_m ? R.number(length, 0) + " px"
        : length >= 1000 ? R.number(length / 1000, 0) + " km"
        : length >= 1 ? R.number(length, 0) + " m" : R.number(length * 100, 0) + " cm";
      const element = bar.getContainer();
      element.style.width = length / perPixel + "px";
      element.textContent = text;
    };
    map.on("zoomend resize", update);
    update();
  }

  // Coordinates of a pixel in the map's CRS and as longitude and latitude, in words.
  R.placeName = function (data, x, y) {
    const [a, b, c, d, e, f] = data.grid.transform;
    const { crs, digits } = data.grid;
    if (!crs) return `column ${R.number(x, 0)}, row ${R.number(y, 0)}`;
    const own = `${R.number(a * x + b * y + c, digits)}, ${R.number(d * x + e * y + f, digits)}` +
      ` (${crs})`;
    const degrees = R.degrees(data, x, y);
    if (!degrees) return own;
    const [lon, lat] = degrees;
    return `${own} · ${Math.abs(lat).toFixed(5)}° ${lat < 0 ? "S" : "N"}, ` +
      `${Math.abs(lon).toFixed(5)}° ${lon < 0 ? "W" : "E"} (WGS84)`;
  };

  R.degrees = function (data, x, y) {
    const places = data.places;
    if (!places) return null;
    const last = places.side - 1;
    const split = (share) => {
      const at = Math.min(Math.max(share, 0), 1) * last;
      const low = Math.min(Math.floor(at), last - 1);
      return [low, at - low];
    };
    const [column, u] = split(x / data.grid.width), [row, v] = split(y / data.grid.height);
    const mix = (values) => {
      const k = row * places.side + column;
      return (1 - v) * ((1 - u) * values[k] + u * values[k + 1]) +
        v * ((1 - u) * values[k + places.side] + u * values[k + places.side + 1]);
    };
    const lon = mix(places.lon);
    return [lon - 360 * Math.round(lon / 360), mix(places.lat)];
  };

  // Call `hover(number, latlng)` and `choose(number)`; -1 where there is no landslide.
  R.watchPointer = function (view, hover, choose) {
    const find = (latlng) => {
      if (!view.map.hasLayer(view.layers.landslides)) return -1;
      const reach = REACH / view.map.options.crs.scale(view.map.getZoom());
      return view.polygons.at(latlng.lng, -latlng.lat, reach);
    };
    view.map.on("mousemove", (event) => hover(find(event.latlng), event.latlng));
    view.map.on("mouseout", () => hover(-1, null));
    view.map.on("click", (event) => choose(find(event.latlng)));
  };
})((window.Report = window.Report || {}));
