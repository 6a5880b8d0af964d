// The page: sliders and choices in, numbers, bars and the plane out. The address holds the state.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const map = read("map");
  const texts = read("texts");
  const model = createModel(map);
  const plane = createPlane(document.getElementById("plane"), model);
  const state = { ...map.start };
  const byId = (id) => document.getElementById(id);
  const ADDRESS = {
    b: "batch", s: "length", r: "rank", m: "method", pf: "precision_full", pa: "precision_lora",
    o: "optimizer", c: "checkpointing", g: "gpu", l: "language",
  };
  const trainable = map.precisions.filter((name) => !map.quantized.includes(name));
  const LISTS = {
    batch: model.batches, length: model.lengths, rank: map.ranks,
    method: map.methods.map((_, n) => n).slice(1), precision_full: trainable,
    precision_lora: map.precisions, optimizer: map.optimizers, checkpointing: map.checkpointing,
    gpu: ["", ...map.gpus.map((gpu) => gpu.name)], language: ["ja", "en"],
  };
  const SLIDERS = ["batch", "length", "rank"];
  let spoken = 0;
  let printing = false;

  // ---- words ----------------------------------------------------------------------------------

  function say(key, values = {}) {
    return texts[key][state.language].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  }
  const count = (value) => value.toLocaleString("en-US");
  const times = (value) => { // cut, not rounded: 1.996x is not 2.00x
    const digits = value >= 10 ? 1 : 2;
    return (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits);
  };
  function size(bytes) {
    const gib = bytes / GIB;
    if (bytes === 0) return "0";
    return `${gib >= 1 ? gib.toFixed(1) : gib.toFixed(3)} GiB`;
  }

  const span = (low, high) => `${size(low).replace(" GiB", "")}–${size(high)}`;

  function make(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  function fill(list, lines) {
    list.replaceChildren(...lines.filter(Boolean).map((text) => make("li", text)));
  }

  // ---- controls -------------------------------------------------------------------------------

  function optionText(name, value) {
    if (name === "method") return map.methods[value].label;
    if (name === "checkpointing") return say(value ? "on" : "off");
    if (name === "gpu") {
      const gpu = map.gpus.find((known) => known.name === value);
      return gpu ? `${gpu.name} (${size(gpu.bytes)})` : say("no_gpu");
    }
    return map.quantized.includes(value) ? say("quantized", { name: value }) : value;
  }

  function fillControls() {
    for (const [name, list] of Object.entries(LISTS)) {
      const control = byId(name);
      if (SLIDERS.includes(name)) control.max = list.length - 1;
      else if (control) {
        control.replaceChildren(...list.map((value, n) => make("option", optionText(name, value), { value: n })));
      }
    }
  }

  function showControls() {
    for (const [name, list] of Object.entries(LISTS)) if (byId(name)) byId(name).value = list.indexOf(state[name]);
    const ranked = map.methods[state.method].ranked;
    byId("rank").disabled = !ranked;
    const shown = {
      batch: say("texts", { n: state.batch }),
      length: say("tokens", { n: count(state.length) }),
      rank: ranked ? String(state.rank) : say("no_rank"),
    };
    for (const name of SLIDERS) {
      byId(`${name}-value`).textContent = shown[name];
      byId(name).setAttribute("aria-valuetext", shown[name]);
    }
    const one = state.batch === 1 && map.padded ? ` ${say("batch_one")}` : "";
    byId("step-note").textContent = say("step_note", { step: map.step }) + one;
  }

  // ---- the answer -----------------------------------------------------------------------------

  function answer(full, lora) {
    const memory = full.peak / lora.peak;
    const holds = verdict("memory-ratio", memory, map.claimed.memory, "times_less");
    verdict("parameter-ratio", full.trainable / lora.trainable, map.claimed.parameters, "times_fewer");
    const same = state.precision_full === state.precision_lora;
    fill(byId("facts"), [
      say(same ? "controlled" : "as_practised"), ...crossings(), ...fitLines(full, lora),
    ]);
    clearTimeout(spoken); // a screen reader hears where a slider stops, not every step
    spoken = setTimeout(() => {
      byId("status").textContent = say("status", {
        batch: state.batch, length: count(state.length), full: size(full.peak), lora: size(lora.peak),
        ratio: times(memory), verdict: holds,
      });
    }, 400);
  }

  function verdict(id, ratio, claimed, key) {
    const [number, told] = byId(id).querySelectorAll("dd");
    const holds = ratio >= claimed;
    number.textContent = say(key, { n: times(ratio) });
    told.textContent = say(holds ? "holds" : "misses", { n: claimed });
    told.className = `verdict ${holds ? "holds" : "misses"}`;
    return told.textContent;
  }

  function ranges(values, holds, tokens = null) {
    const found = model.runs(values, holds);
    const [first, last] = [count(values[0]), count(values[values.length - 1])];
    if (!found.length) return say("nowhere", { first, last });
    const whole = found.length === 1 && found[0][0] === values[0] && found[0][1] === values[values.length - 1];
    if (whole) return say("everywhere", { first, last });
    return found.map(([low, high]) => {
      const range = low === high ? count(low) : `${count(low)}–${count(high)}`;
      return range + (tokens ? ` ${say("up_to_tokens", { n: count(high * tokens) })}` : "");
    }).join(", ");
  }

  function crossings() {
    const claimed = map.claimed.memory;
    const values = { claim: claimed, batch: state.batch, length: count(state.length) };
    const byLength = ranges(model.lengths, (s) => model.ratio(state, state.batch, s) >= claimed, state.batch);
    const byBatch = ranges(model.batches, (b) => model.ratio(state, b) >= claimed, state.length);
    return [say("cross_length", { ...values, where: byLength }), say("cross_batch", { ...values, where: byBatch })];
  }

  function fitLines(full, lora) {
    const gpu = model.gpuOf(state);
    if (!gpu) return [];
    return [[false, full, "full"], [true, lora, "adapter"]].map(([adapted, found, arm]) => {
      const batches = model.runs(model.batches, (b) => model.fits(state, adapted, b) === "yes");
      const where = batches.map(([low, high]) => (low === high ? low : `${low}–${high}`)).join(", ") || say("none");
      return say("fit_line", {
        gpu: gpu.name, size: size(gpu.bytes), arm: say(arm), state: say(`state.${model.fits(state, adapted)}`),
        reserved: span(...found.reserved), context: size(map.context_bytes),
      }) + (state.language === "ja" ? "" : " ") + say("fit_batch", { length: count(state.length), where });
    });
  }

  // ---- bars and their table -------------------------------------------------------------------

  function bars(full, lora) {
    const gpu = model.gpuOf(state);
    const most = Math.max(full.peak, lora.peak);
    const marked = gpu && gpu.bytes <= 1.6 * most;
    const scale = (marked ? Math.max(most, gpu.bytes) : most) * 1.005;
    const drawn = [["full", full], ["adapter", lora]].flatMap(([name, found]) => {
      const head = make("div", "", { class: "arm" });
      head.append(make("span", say(name)), make("b", size(found.peak)));
      const track = make("div", "", { class: "track" });
      const stack = make("div", "", { class: "stack" });
      found.parts.forEach((bytes, n) => {
        const share = bytes / scale;
        if (share < 0.0005) return;
        const segment = make("div", share > 0.025 ? String(n + 1) : "", { class: `segment part-${n}` });
        segment.style.width = `${100 * share}%`;
        stack.append(segment);
      });
      track.append(stack);
      if (marked) {
        const limit = make("div", "", { class: "limit" });
        limit.style.left = `${(100 * gpu.bytes) / scale}%`;
        track.append(limit);
      }
      return [head, track];
    });
    if (marked) drawn.push(make("div", `┆ ${say("limit_mark", { gpu: gpu.name, size: size(gpu.bytes) })}`, { class: "limit-label" }));
    byId("bars").replaceChildren(...drawn);
    byId("bars").setAttribute("aria-label", say("bars_alt", { full: size(full.peak), lora: size(lora.peak) }));
    table(full, lora);
  }

  function table(full, lora) {
    const row = (name, values, kind = "", cell = "td") => {
      const found = make("tr", "", kind ? { class: kind } : {});
      const head = make("th", name, { scope: cell === "td" ? "row" : "col" });
      found.append(head, ...values.map((text) => make(cell, text, cell === "th" ? { scope: "col" } : {})));
      return found;
    };
    const both = (value) => [full, lora].map(value);
    byId("parts").tHead.replaceChildren(row(say("part"), [say("full"), say("adapter")], "", "th"));
    const parts = map.categories.map((name, n) => {
      const found = row(say(`part.${name}`), both((arm) => size(arm.parts[n])));
      found.firstChild.prepend(make("span", String(n + 1), { class: `swatch part-${n}`, "aria-hidden": "true" }));
      return found;
    });
    byId("parts").tBodies[0].replaceChildren(
      ...parts,
      row(say("peak_row"), both((arm) => size(arm.peak)), "total"),
      row(say("phase_row"), both((arm) => say(`phase.${arm.phase}`))),
      row(say("reserved_row"), both((arm) => span(...arm.reserved))),
      row(say("needed_row"), both((arm) => size(arm.needed))),
      row(say("trainable_row"), both((arm) => count(arm.trainable))),
    );
  }

  // ---- all of it ------------------------------------------------------------------------------

  function drawPlane(facts) {
    const gpu = model.gpuOf(state);
    const name = gpu ? gpu.name : "";
    byId("plane").hidden = !plane.usable;
    byId("plane-caption").textContent = plane.usable
      ? say("plane_caption", { claim: map.claimed.memory }) : say("plane_small");
    byId("plane").setAttribute("aria-label", say("plane_alt", {
      batch: state.batch, length: count(state.length), lines: facts,
    }));
    plane.draw(state, {
      length: say("axis_length"), batch: say("axis_batch"), times: (n) => say("times", { n }),
      full: say("line_full", { gpu: name }), lora: say("line_lora", { gpu: name }),
    }, printing);
  }

  function update() {
    showControls();
    const [full, lora] = [model.describe(state, false), model.describe(state, true)];
    byId("found").hidden = !(full && lora);
    byId("missing").hidden = Boolean(full && lora);
    if (full && lora) {
      answer(full, lora);
      bars(full, lora);
      drawPlane([...byId("facts").children].slice(1, 3).map((item) => item.textContent).join(" "));
    } else {
      byId("missing").textContent = say("missing");
      byId("status").textContent = say("missing");
    }
  }

  function translate() {
    document.documentElement.lang = state.language;
    document.title = `${say("title")}: ${map.model}`;
    for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
    for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === state.language));
    }
    fillControls();
    about();
  }

  function about() {
    const error = map.largest_error === 0 ? "0" : `${(100 * map.largest_error).toPrecision(2)} %`;
    fill(byId("about"), [
      say("about_method"), say("about_error", { checks: map.checks, error }),
      say("about_reserved", { context: size(map.context_bytes) }),
      say(map.padded ? "about_masked" : "about_packed", { attention: map.attention }),
      say("about_domain", {
        batch: map.max_batch, step: map.step, length: count(map.max_length), ranks: map.ranks.join(", "),
      }),
      say("link"),
    ]);
    byId("left-out").hidden = !map.left_out.length;
    const own = state.language === "ja" ? "_ja" : "";
    fill(byId("left-out").lastElementChild, map.left_out.map(
      (entry) => `${map.methods[entry.method].label}, ${entry[`setting${own}`]}: ${entry[`reason${own}`]}`,
    ));
  }

  function set(name, value) { // true where the value is one of the control's
    const known = LISTS[name].find((own) => String(own) === String(value));
    if (known === undefined || known === state[name]) return false;
    state[name] = known;
    return true;
  }

  let later = 0;
  function remember() { // browsers allow a hundred changes of an address in half a minute
    clearTimeout(later);
    later = setTimeout(() => {
      const parts = Object.entries(ADDRESS).map(([short, name]) => `${short}=${encodeURIComponent(state[name])}`);
      try { history.replaceState(null, "", `#${parts.join("&")}`); } catch { /* a sandboxed frame */ }
    }, 200);
  }

  function recall() { // anything that no control knows is left as it is
    let changed = false;
    for (const part of location.hash.slice(1).split("&")) {
      const [short, value = ""] = part.split("=");
      if (!Object.hasOwn(ADDRESS, short)) continue;
      try { changed = set(ADDRESS[short], decodeURIComponent(value)) || changed; } catch { /* not an address */ }
    }
    return changed;
  }

  for (const [name, list] of Object.entries(LISTS)) {
    const control = byId(name);
    if (!control) continue;
    control.addEventListener("input", () => {
      if (!set(name, list[Number(control.value)])) return;
      update();
      remember();
    });
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      if (!set("language", button.dataset.language)) return;
      translate();
      update();
      remember();
    });
  }
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("plane").addEventListener("click", (event) => {
    const { batch, length } = plane.pointAt(event);
    set("batch", batch);
    set("length", length);
    update();
    remember();
  });
  addEventListener("hashchange", () => { if (recall()) { translate(); update(); } });
  addEventListener("resize", update);
  for (const name of ["beforeprint", "afterprint"]) {
    addEventListener(name, () => {
      printing = name === "beforeprint";
      update();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);

  // For tests, and for anybody who wants the numbers in the console.
  globalThis.explorer = { state, model, update, set };
  recall();
  translate();
  update();
})();
