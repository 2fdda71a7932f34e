// Thousands of polygons on a Leaflet map: corners in flat arrays, an index, and tiles of canvas.
// A pan only draws the tiles that come into sight; nothing is drawn twice.
// Units: pixels of the scene, x to the right and y down. Leaflet has lng = x and lat = -y.
(function (R) {
  "use strict";
  const CELLS = 64; // of the index, a side
  const TILE = 256; // CSS pixels
  const BUDGET_MS = 8; // of drawing in one frame
  const CROWD = 60; // landslides on a tile
  const DOT = 1.6; // CSS pixels: smaller landslides are drawn as dots of this size

  R.Polygons = class {
    // shapes: of page.json; width, height: of the scene.
    constructor(shapes, units, width, height) {
      let corners = 0, rings = 0;
      for (const shape of shapes) for (const ring of shape) { rings++; corners += ring.length / 2; }
      this.count = shapes.length;
      this.points = new Float32Array(2 * corners);
      this.ringStart = new Int32Array(rings + 1);
      this.firstRing = new Int32Array(this.count + 1);
      this.boxes = new Float32Array(4 * this.count);
      let point = 0, number = 0;
      shapes.forEach((shape, i) => {
        let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity;
        for (const ring of shape) {
          let x = 0, y = 0;
          for (let k = 0; k < ring.length; k += 2) {
            x += ring[k]; y += ring[k + 1];
            const px = x / units, py = y / units;
            this.points[point++] = px; this.points[point++] = py;
            if (px < x0) x0 = px; if (px > x1) x1 = px;
            if (py < y0) y0 = py; if (py > y1) y1 = py;
          }
          this.ringStart[++number] = point / 2;
        }
        this.firstRing[i + 1] = number;
        this.boxes.set([x0, y0, x1, y1], 4 * i);
      });
      this.cell = Math.max(width, height) / CELLS;
      this.index();
    }

    index() {
      const counts = new Int32Array(CELLS * CELLS + 1);
      const each = (visit) => {
        for (let i = 0; i < this.count; i++) {
          const [c0, r0, c1, r1] = this.cells(this.boxes[4 * i], this.boxes[4 * i + 1],
            this.boxes[4 * i + 2], this.boxes[4 * i + 3]);
          for (let r = r0; r <= r1; r++) for (let c = c0; c <= c1; c++) visit(r * CELLS + c, i);
        }
      };
      each((cell) => counts[cell + 1]++);
      for (let k = 0; k < CELLS * CELLS; k++) counts[k + 1] += counts[k];
      this.cellStart = counts.slice();
      this.members = new Int32Array(counts[CELLS * CELLS]);
      each((cell, i) => { this.members[counts[cell]++] = i; });
      this.seen = new Int32Array(this.count);
      this.turn = 0;
    }

    cells(x0, y0, x1, y1) {
      const clamp = (value) => Math.min(Math.max(Math.floor(value / this.cell), 0), CELLS - 1);
      return [clamp(x0), clamp(y0), clamp(x1), clamp(y1)];
    }

    // The numbers of those whose boxes meet a box, each once.
    within(x0, y0, x1, y1) {
      const found = [], boxes = this.boxes, turn = ++this.turn;
      const [c0, r0, c1, r1] = this.cells(x0, y0, x1, y1);
      for (let r = r0; r <= r1; r++) for (let c = c0; c <= c1; c++) {
        const cell = r * CELLS + c;
        for (let k = this.cellStart[cell]; k < this.cellStart[cell + 1]; k++) {
          const i = this.members[k];
          if (this.seen[i] === turn) continue;
          this.seen[i] = turn;
          if (boxes[4 * i] <= x1 && boxes[4 * i + 2] >= x0 &&
              boxes[4 * i + 1] <= y1 && boxes[4 * i + 3] >= y0) found.push(i);
        }
      }
      return found;
    }

    // The number of the polygon at a point; else of the nearest small one within reach; else -1.
    at(x, y, reach) {
      let best = -1, nearest = Infinity;
      for (const i of this.within(x - reach, y - reach, x + reach, y + reach)) {
        if (this.holds(i, x, y)) return i;
        const [x0, y0, x1, y1] = this.box(i);
        if (Math.max(x1 - x0, y1 - y0) > 3 * reach) continue;
        const distance = Math.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y);
        if (distance < nearest) { nearest = distance; best = i; }
      }
      return best;
    }

    box(i) { return this.boxes.subarray(4 * i, 4 * i + 4); }

    holds(i, x, y) {
      let inside = false;
      this.eachRing(i, (from, to) => {
        for (let k = from, j = to - 1; k < to; j = k++) {
          const xk = this.points[2 * k], yk = this.points[2 * k + 1];
          const xj = this.points[2 * j], yj = this.points[2 * j + 1];
          if ((yk > y) !== (yj > y) && x < (xj - xk) * (y - yk) / (yj - yk) + xk) inside = !inside;
        }
      });
      return inside;
    }

    eachRing(i, visit) {
      for (let ring = this.firstRing[i]; ring < this.firstRing[i + 1]; ring++) {
        visit(this.ringStart[ring], this.ringStart[ring + 1]);
      }
    }

    latLngs(i) {
      const rings = [];
      this.eachRing(i, (from, to) => {
        const ring = [];
        for (let k = from; k < to; k++) ring.push([-this.points[2 * k + 1], this.points[2 * k]]);
        rings.push([ring]);
      });
      return rings;
    }

    // Add the outline of one to the context's path; corners nearer than `step` are left out.
    trace(context, i, step) {
      const points = this.points;
      this.eachRing(i, (from, to) => {
        let x = points[2 * from], y = points[2 * from + 1];
        context.moveTo(x, y);
        for (let k = from + 1; k < to; k++) {
          const nx = points[2 * k], ny = points[2 * k + 1];
          if (Math.abs(nx - x) + Math.abs(ny - y) < step) continue;
          context.lineTo(nx, ny);
          x = nx; y = ny;
        }
        context.closePath();
      });
    }
  };

  // options: polygons (Polygons), style {stroke, casing, fill, width, dash}.
  R.PolygonLayer = L.GridLayer.extend({
    options: { tileSize: TILE, pane: "polygons", keepBuffer: 1, updateWhenZooming: false },

    createTile(coords, done) {
      const tile = document.createElement("canvas");
      const sharp = Math.min(window.devicePixelRatio || 1, 2);
      tile.width = tile.height = TILE * sharp;
      this.queue = this.queue || [];
      this.queue.push({ tile, coords, done, sharp });
      if (!this.waiting) this.waiting = requestAnimationFrame(() => this.drain());
      return tile;
    },

    drain() {
      const start = performance.now();
      this.waiting = 0;
      while (this.queue.length && performance.now() - start < BUDGET_MS) {
        const job = this.queue.shift();
        if (!job.tile.isConnected) continue; // out of sight again
        this.paint(job.tile.getContext("2d"), job.coords, job.sharp);
        job.done(null, job.tile);
      }
      if (this.queue.length) this.waiting = requestAnimationFrame(() => this.drain());
    },

    paint(context, coords, sharp) {
      const { polygons, style } = this.options;
      const scale = this._map.options.crs.scale(coords.z); // CSS pixels of a pixel
      const x0 = coords.x * TILE / scale, y0 = coords.y * TILE / scale, side = TILE / scale;
      const edge = 3 / scale;
      const near = polygons.within(x0 - edge, y0 - edge, x0 + side + edge, y0 + side + edge);
      const zoom = scale * sharp;
      context.setTransform(zoom, 0, 0, zoom, -x0 * zoom, -y0 * zoom);
      context.lineJoin = "round";
      context.beginPath();
      const dot = DOT / scale, dots = [];
      for (const i of near) {
        const box = polygons.box(i);
        if (box[2] - box[0] < dot && box[3] - box[1] < dot) dots.push(box);
        else polygons.trace(context, i, 0.7 / scale);
      }
      if (style.fill) { context.fillStyle = style.fill; context.fill("evenodd"); }
      // Lines as thin as what they go around asks for; only around a few there is room for more.
      const width = near.length > CROWD ? 1 : style.width;
      if (style.casing && near.length <= CROWD) {
        context.lineWidth = (width + 2) / scale;
        context.strokeStyle = style.casing;
        context.stroke();
      }
      if (style.dash) context.setLineDash(style.dash.map((length) => length / scale));
      context.lineWidth = width / scale;
      context.strokeStyle = style.stroke;
      context.stroke();
      context.fillStyle = style.stroke;
      for (const box of dots) {
        context.fillRect((box[0] + box[2] - dot) / 2, (box[1] + box[3] - dot) / 2, dot, dot);
      }
    },
  });
})((window.Report = window.Report || {}));
