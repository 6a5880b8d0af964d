// The recorded step, evaluated: numbers in, numbers out, nothing of the page.
// A piece holds columns [category, term, coefficient, ...], each the size of one block as a
// polynomial; of each moment that can be the peak it holds how many such blocks are alive, and
// bytes by category that never change. docs/map.md describes the format.

const GIB = 2 ** 30;

function createModel(map) {
  const terms = new Float64Array(map.exponents.length);
  const start = map.start;

  const powers = [[1, 1, 1], [1, 1, 1], [1, 1, 1]]; // of batch, length and rank, to the square

  function setTerms(...point) {
    for (let d = 0; d < 3; d += 1) {
      powers[d][1] = point[d];
      powers[d][2] = point[d] * point[d];
    }
    for (let n = 0; n < terms.length; n += 1) {
      const [i, j, k] = map.exponents[n];
      terms[n] = powers[0][i] * powers[1][j] * powers[2][k];
    }
  }

  function pieceAt(entry, b, s, r) {
    const inside = ([low, high], value) => low <= value && value <= high;
    const found = entry.pieces.find((p) =>
      inside(p.batches, b) && inside(p.lengths, s) && p.ranks.includes(r));
    if (!found) throw new RangeError(`no piece holds batch ${b}, length ${s}, rank ${r}`);
    return found;
  }

  function sizesAt(piece) {
    const sizes = new Float64Array(piece.columns.length);
    for (let c = 0; c < sizes.length; c += 1) {
      const column = piece.columns[c];
      let bytes = 0;
      for (let n = 1; n < column.length; n += 2) bytes += terms[column[n]] * column[n + 1];
      sizes[c] = Math.ceil(Math.round(bytes) / map.alignment) * map.alignment;
    }
    return sizes;
  }

  // The highest moment: {total, moment, piece, sizes}; bytes, without library workspaces.
  function peakAt(entry, b, s, r) {
    const piece = pieceAt(entry, b, s, r);
    setTerms(b, s, r);
    const sizes = sizesAt(piece);
    let total = -1;
    let moment = 0;
    for (let m = 0; m < piece.counts.length; m += 1) {
      let bytes = 0;
      for (let c = 0; c < map.categories.length; c += 1) bytes += piece.base[m][c];
      for (let c = 0; c < sizes.length; c += 1) bytes += piece.counts[m][c] * sizes[c];
      if (bytes > total) {
        total = bytes;
        moment = m;
      }
    }
    return { total, moment, piece, sizes };
  }

  // A map's key of one arm under the page's state; rank 1 where the method has none.
  function arm(state, adapted) {
    const method = adapted ? state.method : 0;
    const precision = adapted ? state.precision_lora : state.precision_full;
    const setting = `${precision}|${state.optimizer}|${state.checkpointing ? 1 : 0}`;
    return {
      entry: map.entries[`${method}|${setting}`],
      rank: map.methods[method].ranked ? state.rank : 1,
      method: map.methods[method],
    };
  }

  function gpuOf(state) {
    return map.gpus.find((gpu) => gpu.name === state.gpu) || null;
  }

  function workspace(state) {
    const gpu = gpuOf(state);
    return gpu ? gpu.workspace_bytes : map.workspace_bytes;
  }

  function allocated(state, adapted, b = state.batch, s = state.length) {
    const { entry, rank } = arm(state, adapted);
    return peakAt(entry, b, s, rank).total + workspace(state);
  }

  // Peak, its parts by category, its moment and what may be reserved for it; null if not recorded.
  function describe(state, adapted) {
    const { entry, rank, method } = arm(state, adapted);
    if (!entry) return null;
    const { total, moment, piece, sizes } = peakAt(entry, state.batch, state.length, rank);
    const parts = [...piece.base[moment]];
    piece.columns.forEach((column, c) => { parts[column[0]] += piece.counts[moment][c] * sizes[c]; });
    parts[map.categories.indexOf("temporaries")] += workspace(state);
    const peak = total + workspace(state);
    const [least, most] = reservedRatio(entry, state.batch * state.length);
    return {
      peak,
      parts,
      phase: map.phases[piece.phases[moment]],
      reserved: [peak * least, peak * most],
      needed: peak * most + map.context_bytes,
      trainable: method.trainable[0] + method.trainable[1] * rank,
    };
  }

  // [least, most] reserved per allocated byte, between the reference points by log of tokens.
  function reservedRatio(entry, tokens) {
    const rows = entry.reserved;
    const after = rows.findIndex((row) => row[0] >= tokens);
    if (after === 0) return rows[0].slice(1);
    if (after < 0) return rows[rows.length - 1].slice(1);
    const [low, high] = [rows[after - 1], rows[after]];
    const share = Math.log(tokens / low[0]) / Math.log(high[0] / low[0]);
    return [1, 2].map((n) => low[n] + share * (high[n] - low[n]));
  }

  // Bytes beyond the GPU, by the least and by the most that may be reserved for allocated bytes.
  function excess(state, adapted, bytes, b, s) {
    const limit = gpuOf(state).bytes - map.context_bytes;
    return reservedRatio(arm(state, adapted).entry, b * s).map((ratio) => bytes * ratio - limit);
  }

  function fits(state, adapted, b = state.batch, s = state.length) {
    const [least, most] = excess(state, adapted, allocated(state, adapted, b, s), b, s);
    if (most <= 0) return "yes";
    return least <= 0 ? "close" : "no";
  }

  function ratio(state, b = state.batch, s = state.length) {
    return allocated(state, false, b, s) / allocated(state, true, b, s);
  }

  const batches = Array.from({ length: map.max_batch }, (_, n) => n + 1);
  const lengths = Array.from({ length: map.max_length / map.step }, (_, n) => (n + 1) * map.step);

  // Runs of neighbouring values for which a test holds: [[first, last], ...].
  function runs(values, holds) {
    const found = [];
    let open = false;
    for (const value of values) {
      const now = holds(value);
      if (now && open) found[found.length - 1][1] = value;
      if (now && !open) found.push([value, value]);
      open = now;
    }
    return found;
  }

  return {
    map, start, batches, lengths, runs, arm, allocated, describe, excess, fits, gpuOf, ratio,
    reservedRatio,
  };
}
