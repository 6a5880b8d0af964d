"use strict";
// The page: both languages, one filter for figures and tables, and figures that answer the pointer.
// Everything a reader needs is in the page without this script.
(() => {
  const root = document.documentElement;
  const arms = JSON.parse(document.getElementById("arms").textContent);
  const tip = document.getElementById("tip");
  const pages = Object.create(null); // no inherited names: the address may ask for any
  const filter = { arms: null, sizes: null, off: {} }; // null: everything is shown
  const live = new Map(); // figure -> its view, once it was drawn by the library

  // ---- languages ------------------------------------------------------------------------------

  const key = "lora-bench-language:" + location.pathname;

  function remembered() {
    const named = location.hash.slice(1);
    if (named in pages) return named;
    try { return localStorage.getItem(key); } catch { return null; }
  }

  function remember(language) {
    try { localStorage.setItem(key, language); } catch { /* private mode: the address has it */ }
    try { history.replaceState(null, "", "#" + language); } catch { /* a sandboxed frame */ }
  }

  function place() { // the section being read, and how far its top is from the window's
    const sections = [...document.querySelectorAll(".page section[id]")];
    const read = sections.filter((section) => section.getBoundingClientRect().top < 120).pop();
    return read ? [read.id, read.getBoundingClientRect().top] : null;
  }

  function show(language) {
    const old = document.querySelector(".page");
    if (!(language in pages) || old.lang === language) return;
    const at = place();
    old.replaceWith(pages[language]);
    root.lang = language;
    document.title = pages[language].dataset.title;
    prepare(pages[language]);
    const section = at && document.getElementById(at[0]);
    if (section) scrollBy(0, section.getBoundingClientRect().top - at[1]);
  }

  function chooseLanguage(event) {
    const language = event.currentTarget.dataset.language;
    show(language);
    remember(language);
    document.querySelector(`[data-language=${language}]`).focus({ preventScroll: true });
  }

  // ---- filter ---------------------------------------------------------------------------------

  function readFilter(form) {
    filter.off = {};
    for (const group of form.querySelectorAll("fieldset")) {
      const off = [...group.querySelectorAll("input:not(:checked)")].map((box) => box.value);
      if (off.length) filter.off[group.dataset.group] = off;
    }
    const hidden = (group, value) => (filter.off[group] || []).includes(value);
    const kept = arms.filter((arm) =>
      ["rank", "targets", "method"].every((group) => !hidden(group, arm[group])));
    filter.arms = kept.length < arms.length ? kept.map((arm) => arm.label) : null;
    const boxes = [...form.querySelectorAll("[data-group=sizes] input")];
    const sizes = boxes.filter((box) => box.checked).map((box) => Number(box.value));
    filter.sizes = sizes.length < boxes.length ? sizes : null;
  }

  function writeFilter(form) {
    for (const group of form.querySelectorAll("fieldset")) {
      const off = filter.off[group.dataset.group] || [];
      for (const box of group.querySelectorAll("input")) box.checked = !off.includes(box.value);
    }
    const count = (filter.arms || arms).length;
    const output = form.querySelector("output");
    output.textContent = output.dataset.words.replace("SHOWN", count);
  }

  function isShown(row) {
    const { label, size } = row.dataset;
    return !(label !== undefined && filter.arms && !filter.arms.includes(label))
      && !(size !== undefined && filter.sizes && !filter.sizes.includes(Number(size)));
  }

  function applyFilter(page) {
    const form = page.querySelector(".filter");
    if (form) writeFilter(form);
    for (const row of page.querySelectorAll("tr[data-label], tr[data-size]")) row.hidden = !isShown(row);
    for (const [figure, view] of live) if (view && page.contains(figure)) setFilter(view);
  }

  function setFilter(view) {
    return view.signal("arms", filter.arms).signal("sizes", filter.sizes).runAsync();
  }

  // ---- figures --------------------------------------------------------------------------------

  let started = false;

  function library() {
    const text = document.getElementById("figure-library");
    if (!started && text) {
      started = true;
      const script = document.createElement("script");
      script.textContent = text.textContent;
      document.head.append(script);
    }
    return window.vegaEmbed;
  }

  async function enliven(figure) {
    const embed = library();
    if (!embed || live.has(figure)) return;
    live.set(figure, null); // being drawn
    const drawing = figure.querySelector(".drawing");
    const spec = JSON.parse(figure.querySelector("script.spec").textContent);
    spec.background = "transparent"; // the page's own shows through, light or dark
    const place = document.createElement("div");
    const { view } = await embed(place, spec, {
      mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false,
      tooltip: showTip,
    });
    live.set(figure, view);
    await setFilter(view);
    view.addEventListener("click", (event, item) => {
      const record = item && item.datum && item.datum.record;
      if (record) window.open(record, "_blank", "noopener");
    });
    const svg = place.querySelector("svg");
    svg.setAttribute("aria-hidden", "true");
    drawing.replaceChildren(place);
    figure.dataset.live = "true";
  }

  function showTip(handler, event, item, value) {
    const rows = value === null || value === undefined || value === "" ? [] : typeof value === "object"
      ? Object.entries(value).map(([name, shown]) => `${name}: ${shown}`)
      : String(value).split("\n");
    const record = item && item.datum && item.datum.record;
    tip.hidden = rows.length === 0;
    if (event.target && event.target.style) event.target.style.cursor = record ? "pointer" : "";
    if (tip.hidden) return;
    if (record) rows.push(document.querySelector(".page").dataset.open);
    tip.replaceChildren(...rows.map((row) => {
      const line = document.createElement("div");
      line.textContent = row;
      return line;
    }));
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + 14 + width > innerWidth ? event.clientX - width - 10 : event.clientX + 14;
    tip.style.left = `${Math.max(4, right)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - height - 4)}px`;
  }

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      enliven(target).catch(() => { /* the drawing in the page stays */ });
    }
  }, { rootMargin: "160px" });

  async function drawMissing(page) { // the language shown second comes without drawings
    for (const figure of page.querySelectorAll("figure")) {
      if (figure.querySelector(".spec") && !figure.querySelector("svg")) {
        try { await enliven(figure); } catch { /* the tables below hold its numbers */ }
      }
    }
  }

  // ---- a page of one language -----------------------------------------------------------------

  function prepare(page) {
    if (!page.dataset.ready) {
      page.dataset.ready = "true";
      page.querySelector(".languages").hidden = false;
      for (const button of page.querySelectorAll("[data-language]")) button.addEventListener("click", chooseLanguage);
      const form = page.querySelector(".filter");
      if (form) {
        form.hidden = false;
        form.addEventListener("submit", (event) => event.preventDefault());
        form.addEventListener("change", () => { readFilter(form); applyFilter(page); });
        form.addEventListener("reset", (event) => {
          event.preventDefault();
          Object.assign(filter, { arms: null, sizes: null, off: {} });
          applyFilter(page);
        });
      }
      for (const figure of page.querySelectorAll("figure")) {
        if (figure.querySelector(".spec")) seen.observe(figure);
      }
      drawMissing(page);
    }
    applyFilter(page);
  }

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const folded of opened) folded.open = true;
  });
  addEventListener("afterprint", () => { for (const folded of opened) folded.open = false; });
  addEventListener("hashchange", () => {
    const named = location.hash.slice(1);
    if (named in pages) { show(named); remember(named); }
  });

  const first = document.querySelector(".page");
  const second = document.getElementById("other-page").content.firstElementChild;
  pages[first.lang] = first;
  pages[second.lang] = second;
  prepare(first);
  show(remembered());
})();
