// Batch against length, both by logarithm: the region where the claim holds, and where a GPU is full.

function spread(values, count) { // about `count` of the values, evenly by their logarithm
  const last = values.length - 1;
  if (last < count) return values;
  const ratio = values[last] / values[0];
  const wanted = Array.from({ length: count }, (_, n) => values[0] * ratio ** (n / (count - 1)));
  const step = values[1] - values[0];
  return [...new Set(wanted.map((v) => values[Math.round((v - values[0]) / step)]))];
}

// Segments of the line where a field on a grid is zero: marching squares, [x, y, x, y] in cells.
function zeroLine(field) {
  const found = [];
  const cut = (a, b) => a / (a - b);
  for (let y = 0; y + 1 < field.length; y += 1) {
    for (let x = 0; x + 1 < field[y].length; x += 1) {
      const [a, b] = [field[y][x], field[y][x + 1]];
      const [d, c] = [field[y + 1][x], field[y + 1][x + 1]];
      const at = [];
      if (a > 0 !== b > 0) at.push([x + cut(a, b), y]);
      if (b > 0 !== c > 0) at.push([x + 1, y + cut(b, c)]);
      if (d > 0 !== c > 0) at.push([x + cut(d, c), y + 1]);
      if (a > 0 !== d > 0) at.push([x, y + cut(a, d)]);
      for (let n = 0; n + 1 < at.length; n += 2) found.push([...at[n], ...at[n + 1]]);
    }
  }
  return found;
}

const PRINTED = { // paper is white, whatever the screen's colours are
  ink: "#000", soft: "#444", paper: "#fff", rule: "#bbb", accent: "#000", wash: "#ddd", warm: "#000",
};

function createPlane(canvas, model) {
  const rows = spread(model.batches, 36);
  const columns = spread(model.lengths, 44);
  const edge = { left: 52, right: 24, top: 14, bottom: 46 };
  let box = null;

  const usable = rows.length > 1 && columns.length > 1;
  const log = (value, list) => Math.log(value / list[0]) / Math.log(list[list.length - 1] / list[0]);
  const px = (length) => box.x + box.w * log(length, columns);
  const py = (batch) => box.y + box.h * (1 - log(batch, rows));
  const between = (list, at) => { // a value at a place between two cells, by logarithm
    const n = Math.min(Math.floor(at), list.length - 2);
    return list[n] * (list[n + 1] / list[n]) ** (at - n);
  };

  function fit() { // the canvas as many pixels as the screen shows
    const { width, height } = canvas.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    box = { x: edge.left, y: edge.top, w: width - edge.left - edge.right, h: height - edge.top - edge.bottom };
    return pen;
  }

  const over = (value) => rows.map((b, y) => columns.map((s, x) => value(b, s, y, x)));
  let known = { key: null };

  function fields(state) { // of all batches and lengths; the same wherever these two sliders are
    const { batch, length, language, ...others } = state;
    const key = JSON.stringify(others);
    if (known.key !== key) {
      const bytes = [false, true].map((adapted) => over((b, s) => model.allocated(state, adapted, b, s)));
      const ratios = over((b, s, y, x) => bytes[0][y][x] / bytes[1][y][x]);
      const above = ratios.map((row) => row.map((value) => value - model.map.claimed.memory));
      known = { key, bytes, ratios, above, strips: strips(above) };
    }
    return known;
  }

  function draw(state, words, printing) {
    if (!usable) return;
    const pen = fit();
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => (printing ? PRINTED[name] : style.getPropertyValue(`--${name}`).trim());
    const claimed = model.map.claimed.memory;
    const { bytes, ratios, above, strips: region } = fields(state);
    const boxes = [];
    shade(pen, region, ink("wash"), ink("accent"));
    axes(pen, words, ink);
    for (const level of levels(ratios, claimed)) {
      const field = ratios.map((row) => row.map((value) => value - level));
      line(pen, field, { colour: ink("soft"), width: 1, text: words.times(level), boxes, paper: ink("paper") });
    }
    line(pen, above, { colour: ink("accent"), width: 3.5, text: words.times(claimed), boxes, paper: ink("paper"), bold: true });
    if (model.gpuOf(state)) {
      for (const [adapted, text, dash] of [[false, words.full, [10, 5]], [true, words.lora, [3, 4]]]) {
        const used = bytes[Number(adapted)];
        const field = over((b, s, y, x) => model.excess(state, adapted, used[y][x], b, s)[1]);
        line(pen, field, { colour: ink("warm"), width: 2.5, dash, text, boxes, paper: ink("paper"), bold: true });
      }
    }
    mark(pen, state, ink);
  }

  function strips(above) { // the region in thin strips from left to right: [x1, x2, y1, y2] in cells
    const n = 8;
    const places = Array.from({ length: (columns.length - 1) * n }, (_, x) => (x + 0.5) / n);
    const found = [];
    for (let y = 0; y < (rows.length - 1) * n; y += 1) {
      for (const [first, last] of model.runs(places, (x) => sampled(above, x, (y + 0.5) / n) >= 0)) {
        found.push([first - 0.5 / n, last + 0.5 / n, y / n, (y + 1) / n]);
      }
    }
    return found;
  }

  function shade(pen, found, fill, hatch) {
    const region = new Path2D();
    for (const [left, right, low, high] of found) {
      const [x1, x2] = [px(between(columns, left)), px(between(columns, right))];
      const [y1, y2] = [py(between(rows, high)), py(between(rows, low))];
      region.rect(x1, y1, x2 - x1, y2 - y1 + 0.5);
    }
    pen.save();
    pen.fillStyle = fill;
    pen.fill(region);
    pen.clip(region);
    pen.strokeStyle = hatch;
    pen.globalAlpha = 0.35;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let at = box.x - box.h; at < box.x + box.w; at += 11) {
      pen.moveTo(at, box.y + box.h);
      pen.lineTo(at + box.h, box.y);
    }
    pen.stroke();
    pen.restore();
  }

  function sampled(field, x, y) { // linear between the cells
    const [i, j] = [Math.floor(x), Math.floor(y)];
    const [u, v] = [x - i, y - j];
    return (field[j][i] * (1 - u) + field[j][i + 1] * u) * (1 - v)
      + (field[j + 1][i] * (1 - u) + field[j + 1][i + 1] * u) * v;
  }

  function axes(pen, words, ink) {
    pen.font = "12px system-ui, sans-serif";
    pen.lineWidth = 1;
    const doubling = (list) => {
      const found = [];
      for (let v = list[0]; v <= list[list.length - 1]; v *= 2) found.push(v);
      return found;
    };
    pen.strokeStyle = ink("rule");
    pen.fillStyle = ink("soft");
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const s of doubling(columns)) {
      rule(pen, px(s), box.y, px(s), box.y + box.h);
      pen.fillText(s.toLocaleString("en-US"), px(s), box.y + box.h + 7);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const b of doubling(rows)) {
      rule(pen, box.x, py(b), box.x + box.w, py(b));
      pen.fillText(String(b), box.x - 8, py(b));
    }
    pen.fillStyle = ink("ink");
    pen.textBaseline = "bottom";
    pen.fillText(words.length, box.x + box.w, box.y + box.h + 44);
    pen.save();
    pen.translate(13, box.y);
    pen.rotate(-Math.PI / 2);
    pen.textBaseline = "middle";
    pen.fillText(words.batch, 0, 0);
    pen.restore();
    pen.strokeStyle = ink("soft");
    pen.strokeRect(box.x, box.y, box.w, box.h);
  }

  function rule(pen, x1, y1, x2, y2) {
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.stroke();
  }

  function levels(ratios, claimed) { // lines beside the claimed one, as many as can be told apart
    const flat = ratios.flat();
    const [low, high] = [Math.min(...flat), Math.max(...flat)];
    return [1, 1.25, 1.5, 2, 3, 4, 6, 8, 12].filter((v) => low < v && v < high && v !== claimed);
  }

  function line(pen, field, how) {
    const segments = zeroLine(field).map(([x1, y1, x2, y2]) => [
      px(between(columns, x1)), py(between(rows, y1)), px(between(columns, x2)), py(between(rows, y2)),
    ]);
    pen.save();
    pen.strokeStyle = how.colour;
    pen.lineWidth = how.width;
    pen.setLineDash(how.dash || []);
    pen.beginPath();
    for (const [x1, y1, x2, y2] of joined(segments)) {
      if (x1 !== null) pen.moveTo(x1, y1);
      pen.lineTo(x2, y2);
    }
    pen.stroke();
    pen.setLineDash([]);
    label(pen, segments, how);
    pen.restore();
  }

  function joined(segments) { // in the order of the line, so that dashes run on; null: goes on
    const left = [...segments];
    const near = (x1, y1, x2, y2) => Math.abs(x1 - x2) + Math.abs(y1 - y2) < 0.01;
    const found = [];
    let end = null;
    left.sort((one, two) => one[0] - two[0]);
    while (left.length) {
      let at = -1;
      let turned = false;
      if (end) {
        at = left.findIndex((s) => near(s[0], s[1], ...end));
        if (at < 0) {
          at = left.findIndex((s) => near(s[2], s[3], ...end));
          turned = at >= 0;
        }
      }
      const fresh = at < 0;
      const [s] = left.splice(fresh ? 0 : at, 1);
      const [x1, y1, x2, y2] = turned ? [s[2], s[3], s[0], s[1]] : s;
      found.push([fresh ? x1 : null, y1, x2, y2]);
      end = [x2, y2];
    }
    return found;
  }

  function label(pen, segments, how) { // on the line, where no other label is
    pen.font = `${how.bold ? "600 " : ""}12px system-ui, "Noto Sans CJK JP", sans-serif`;
    const half = pen.measureText(how.text).width / 2 + 4;
    const middle = segments.length / 2;
    const order = [...segments.keys()].sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle));
    for (const n of order) {
      const [x1, y1, x2, y2] = segments[n];
      const place = { x: (x1 + x2) / 2, y: (y1 + y2) / 2, half };
      const inside = place.x - half > box.x && place.x + half < box.x + box.w
        && place.y - 10 > box.y && place.y + 10 < box.y + box.h;
      const free = how.boxes.every((b) => Math.abs(b.x - place.x) > b.half + half || Math.abs(b.y - place.y) > 19);
      if (!inside || !free) continue;
      how.boxes.push(place);
      pen.fillStyle = how.paper;
      pen.globalAlpha = 0.9;
      pen.fillRect(place.x - half, place.y - 9, 2 * half, 18);
      pen.globalAlpha = 1;
      pen.fillStyle = how.colour;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(how.text, place.x, place.y);
      return;
    }
  }

  function mark(pen, state, ink) {
    const [x, y] = [px(state.length), py(state.batch)];
    pen.strokeStyle = ink("ink");
    pen.lineWidth = 1;
    pen.setLineDash([2, 3]);
    rule(pen, box.x, y, box.x + box.w, y);
    rule(pen, x, box.y, x, box.y + box.h);
    pen.setLineDash([]);
    pen.beginPath();
    pen.arc(x, y, 7, 0, 2 * Math.PI);
    pen.fillStyle = ink("paper");
    pen.fill();
    pen.lineWidth = 3;
    pen.stroke();
  }

  function nearest(list, share) { // the value of a slider at a share of an axis
    const ends = [list[0], list[list.length - 1]];
    const wanted = ends[0] * (ends[1] / ends[0]) ** Math.min(Math.max(share, 0), 1);
    const far = (value) => Math.abs(Math.log(value / wanted));
    return list.reduce((best, value) => (far(value) < far(best) ? value : best));
  }

  function pointAt(event) { // the batch and length under the pointer
    const frame = canvas.getBoundingClientRect();
    return {
      length: nearest(model.lengths, (event.clientX - frame.left - box.x) / box.w),
      batch: nearest(model.batches, 1 - (event.clientY - frame.top - box.y) / box.h),
    };
  }

  return { draw, pointAt, usable };
}
