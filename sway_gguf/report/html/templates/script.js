"use strict";
// Sorting, filters, explanations, state in the address, the JSON. Writes words as text alone.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const record = one("#record");
  const state = new URLSearchParams();
  const probes = all("details.probe");

  // ---- state in the address: v(erdicts), q(uery), s(ort), open
  function keep(key, value) {
    value ? state.set(key, value) : state.delete(key);
    history.replaceState(null, "", `#${state}`);
  }

  // ---- tables
  function cellOf(row, index, kind) {
    const cell = row.cells[index];
    if (kind !== "number") return cell.textContent.trim().toLowerCase();
    return cell.dataset.value ? Number(cell.dataset.value) : NaN;
  }
  function sort(table, index, down) {
    const heads = [...table.tHead.rows[0].cells];
    const kind = heads[index].dataset.kind;
    const rows = [...table.tBodies[0].rows].map((row) => [cellOf(row, index, kind), row]);
    const sign = down ? -1 : 1;
    rows.sort(([a], [b]) => {
      if (kind !== "number") return sign * a.localeCompare(b);
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return sign * (a - b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    heads.forEach((head, place) => {
      if (place === index) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      const arrow = head.querySelector(".arrow");
      if (arrow) arrow.textContent = place === index ? (down ? "▾" : "▴") : "↕";
    });
  }
  for (const table of all("table[data-sortable]")) {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      const kind = head.dataset.kind;
      if (!kind) return;
      const name = head.dataset.name || head.textContent.trim();
      const button = document.createElement("button");
      const arrow = document.createElement("span");
      button.type = "button";
      button.className = "sort";
      button.setAttribute("aria-label", `sort by ${name}`);
      arrow.className = "arrow";
      arrow.setAttribute("aria-hidden", "true");
      arrow.textContent = "↕";
      button.append(arrow);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const down = now ? now === "ascending" : kind === "number";
        sort(table, index, down);
        if (table.id === "overview") keep("s", `${index}${down ? "d" : "u"}`);
      });
    });
  }

  // ---- filters
  const search = one("#search");
  const chips = all(".chip");
  function filter() {
    if (!search) return;
    const words = search.value.trim().toLowerCase();
    const wanted = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.verdict);
    const rows = all("#overview tbody tr");
    let shown = 0;
    for (const probe of probes) {
      const fits = (!wanted.length || wanted.includes(probe.dataset.verdict)) && (!words || probe.textContent.toLowerCase().includes(words));
      probe.hidden = !fits;
      rows.filter((row) => row.dataset.probe === probe.dataset.probe).forEach((row) => { row.hidden = !fits; });
      shown += fits;
    }
    one("#none").hidden = shown > 0;
    one("#shown").textContent = shown === probes.length ? "" : `${shown} of ${probes.length} shown`;
    keep("q", words && search.value.trim());
    keep("v", wanted.join(","));
  }
  if (search) {
    one(".filters").hidden = false;
    one(".filters").addEventListener("submit", (event) => event.preventDefault());
    search.addEventListener("input", filter);
    for (const chip of chips) chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }

  // ---- probes: what is open stands in the address
  const first = probes.filter((probe) => probe.open).map((probe) => probe.id);
  let printing = false;
  function keepOpen() {
    if (printing) return;
    const open = probes.filter((probe) => probe.open).map((probe) => probe.id);
    keep("open", open.join() === first.join() ? "" : open.join(",") || "none");
  }
  function reveal(id) {
    const probe = document.getElementById(id);
    if (!probe || !probe.matches("details.probe")) return false;
    probe.hidden = false;
    probe.open = true;
    probe.scrollIntoView();
    probe.querySelector("summary").focus({ preventScroll: true });
    return true;
  }
  for (const probe of probes) probe.addEventListener("toggle", keepOpen);
  for (const link of all('a[href^="#probe-"]')) link.addEventListener("click", (event) => {
    if (reveal(link.getAttribute("href").slice(1))) event.preventDefault();
  });

  // ---- what was asked, written when it is unfolded
  const data = record ? JSON.parse(record.textContent) : {};
  function fill(fold) {
    if (fold.querySelector("pre")) return;
    for (const text of (data.texts || {})[fold.dataset.key] || []) {
      const block = document.createElement("pre");
      block.dir = "auto";
      block.textContent = text;
      fold.append(block);
    }
  }
  for (const fold of all("details.asked")) fold.addEventListener("toggle", () => fold.open && fill(fold));

  // ---- explanations
  const tip = one("#tip");
  let owner = null;
  let leaving = 0;
  function show(target, words) {
    clearTimeout(leaving);
    if (owner && owner !== target && owner.matches(".token")) owner.removeAttribute("aria-describedby");
    owner = target;
    tip.textContent = words;
    tip.hidden = false;
    const box = target.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top > tip.offsetHeight + 12;
    tip.style.left = `${Math.max(8, left) + scrollX}px`;
    tip.style.top = `${(above ? box.top - tip.offsetHeight - 7 : box.bottom + 7) + scrollY}px`;
    if (target.matches(".token")) target.setAttribute("aria-describedby", "tip");
  }
  function hide() {
    tip.hidden = true;
    if (owner && owner.matches(".token")) owner.removeAttribute("aria-describedby");
    owner = null;
  }
  const hideSoon = () => { clearTimeout(leaving); leaving = setTimeout(hide, 150); };
  function explain(target) {
    if (!target) return;
    show(target, target.dataset.told || document.getElementById(`term-${target.dataset.term}`).textContent);
  }
  const explained = (event) => event.target.closest && event.target.closest("[data-term],[data-told]");
  document.addEventListener("mouseover", (event) => {
    if (event.target === tip) clearTimeout(leaving);
    else explain(explained(event));
  });
  document.addEventListener("mouseout", (event) => { if (explained(event) || event.target === tip) hideSoon(); });
  document.addEventListener("focusin", (event) => explain(explained(event)));
  document.addEventListener("focusout", hide);
  document.addEventListener("click", (event) => {
    const target = explained(event);
    if (target) { explain(target); if (target.closest("summary")) event.preventDefault(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const token = event.target.closest && event.target.closest(".token");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!token || !step) return;
    const next = step > 0 ? token.nextElementSibling : token.previousElementSibling;
    if (!next) return;
    token.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    event.preventDefault();
  });

  // ---- paper shows everything
  let folded = [];
  addEventListener("beforeprint", () => {
    printing = true;
    folded = all("details:not([open])");
    for (const each of folded) { if (each.matches(".asked")) fill(each); each.open = true; }
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
    setTimeout(() => { printing = false; });
  });

  // ---- the JSON, as it stands in this file
  const save = one("#save");
  if (save) {
    save.hidden = false;
    save.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([record.textContent, "\n"], { type: "application/json" }));
      link.download = "result.json";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href));
    });
  }

  // ---- the page as the address has it
  const overview = one("#overview");
  function restore() {
    const place = location.hash.slice(1);
    for (const key of [...state.keys()]) state.delete(key);
    if (/^probe-\d+$/.test(place)) return void reveal(place);
    const asked = Object.fromEntries(new URLSearchParams(place));
    for (const [key, value] of Object.entries(asked)) state.set(key, value);
    if (asked.open) {
      const open = asked.open.split(",");
      for (const probe of probes) probe.open = open.includes(probe.id);
    }
    const order = /^(\d+)([du])$/.exec(asked.s || "");
    const head = overview && order && overview.tHead.rows[0].cells[order[1]];
    if (head && head.dataset.kind) sort(overview, Number(order[1]), order[2] === "d");
    if (search && (asked.q || asked.v || search.value)) {
      const wanted = (asked.v || "").split(",");
      search.value = asked.q || "";
      for (const chip of chips) chip.setAttribute("aria-pressed", String(wanted.includes(chip.dataset.verdict)));
      filter();
    }
  }
  addEventListener("hashchange", restore);
  if (location.hash) restore();
})();
