"use strict";
(() => {
  const data = JSON.parse(document.getElementById("events").textContent);
  const $ = (id) => document.getElementById(id);
  const sums = (steps) => { let sum = 0; return steps.map((step) => (sum += step)); };
  const at = sums(data.at), index = sums(data.index), count = at.length;
  const { lane, kind, mark, text, lanes, periods } = data;
  const kinds = ["operation", "database", "broker", "fault", "external", "log", "run", "verdict"];
  const end = Math.max(data.end, 1);
  const arrowOf = new Map(data.arrows.map((arrow) => [arrow[0], arrow]));
  const canvas = $("canvas"), ink = canvas.getContext("2d");
  const TOP = 26, ROW = 26;
  const left = () => (canvas.clientWidth < 600 ? 96 : 170);
  let from = 0, until = end, selected = data.focus, pins = [], hits = [], hit = -1, frame = 0;

  const seconds = (us) => (us / 1e6).toFixed(Math.abs(us) < 1e4 ? 6 : 3) + " s";
  const x = (us) => left() + ((us - from) / (until - from)) * (canvas.clientWidth - left() - 8);
  const y = (row) => TOP + row * ROW + ROW / 2;
  const say = (i) => text[i] || "(text left out)";
  const lower = (us) => { let a = 0, b = count; while (a < b) { const m = (a + b) >> 1; if (at[m] < us) a = m + 1; else b = m; } return a; };
  const isShown = (i) => kind[i] !== 5 || $("logs").checked || mark[i] > 0;
  const isBright = (i) => !$("cone").checked || mark[i] > 0;

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ["ground", "raised", "text", "quiet", "line", "accent", "good", "bad", "warn", "shade"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }

  function shape(c, k, px, py, size) {
    ink.beginPath();
    if (k === 1) ink.rect(px - size, py - size, 2 * size, 2 * size);
    else if (k === 0) { ink.moveTo(px - size, py - size); ink.lineTo(px + size, py); ink.lineTo(px - size, py + size); ink.closePath(); }
    else if (k === 4) { ink.moveTo(px, py - size - 1); ink.lineTo(px + size + 1, py); ink.lineTo(px, py + size + 1); ink.lineTo(px - size - 1, py); ink.closePath(); }
    else if (k === 3) {
      ink.strokeStyle = c.bad; ink.lineWidth = 2;
      ink.moveTo(px - size, py - size); ink.lineTo(px + size, py + size); ink.moveTo(px + size, py - size); ink.lineTo(px - size, py + size);
      ink.stroke(); ink.lineWidth = 1; return;
    } else ink.arc(px, py, k === 2 ? size : size / 2, 0, 7);
    ink.fill();
  }

  function shadePeriods(c, height) {
    for (const period of periods) {
      const a = x(period.from), b = Math.max(x(period.until), a + 2);
      if (b < left() || a > canvas.clientWidth) continue;
      const [top, tall] = period.lane === null ? [TOP, height - TOP] : [TOP + period.lane * ROW, ROW];
      ink.fillStyle = c.shade;
      ink.fillRect(Math.max(a, left()), top, b - Math.max(a, left()), tall);
      ink.strokeStyle = c.bad; ink.setLineDash([2, 4]);
      ink.strokeRect(Math.max(a, left()) + 0.5, top + 0.5, b - Math.max(a, left()), tall - 1);
      ink.setLineDash([]);
      if (period.lane === null && b - a > 60) { ink.fillStyle = c.text; ink.fillText(period.label.slice(0, 60), Math.max(a, left()) + 4, TOP + 11); }
    }
  }

  function drawArrow(c, [to, origin, row, fate]) {
    const bright = isBright(to);
    ink.globalAlpha = bright ? 0.9 : 0.12;
    ink.strokeStyle = fate === 4 ? c.bad : fate === 2 ? c.warn : c.accent;
    ink.setLineDash(fate === 2 ? [6, 4] : fate === 3 ? [2, 3] : []);
    const published = to === origin;
    const ax = x(at[origin]), ay = y(published ? lane[to] : row), bx = x(at[to]), by = y(published ? row : lane[to]);
    ink.beginPath(); ink.moveTo(ax, ay); ink.lineTo(bx, fate === 4 ? ay - 10 : by); ink.stroke();
    ink.setLineDash([]);
    if (fate === 4) { ink.beginPath(); ink.moveTo(bx - 4, ay - 14); ink.lineTo(bx + 4, ay - 6); ink.moveTo(bx + 4, ay - 14); ink.lineTo(bx - 4, ay - 6); ink.stroke(); }
    else {
      const angle = Math.atan2(by - ay, bx - ax);
      ink.beginPath(); ink.moveTo(bx, by);
      ink.lineTo(bx - 7 * Math.cos(angle - 0.4), by - 7 * Math.sin(angle - 0.4));
      ink.moveTo(bx, by); ink.lineTo(bx - 7 * Math.cos(angle + 0.4), by - 7 * Math.sin(angle + 0.4)); ink.stroke();
    }
    ink.globalAlpha = 1;
  }

  function scale(c, height) {
    const span = until - from;
    let step = 10 ** Math.floor(Math.log10(span / 6));
    while (span / step > 9) step *= span / step > 20 ? 5 : 2;
    ink.fillStyle = c.quiet; ink.strokeStyle = c.line;
    for (let tick = Math.ceil(from / step) * step; tick <= until; tick += step) {
      const px = Math.round(x(tick)) + 0.5;
      ink.beginPath(); ink.moveTo(px, 18); ink.lineTo(px, height); ink.globalAlpha = 0.5; ink.stroke(); ink.globalAlpha = 1;
      if (px + 60 < canvas.clientWidth) ink.fillText((tick / 1e6).toFixed(step < 1e4 ? 6 : 3) + " s", px + 2, 13);
    }
  }

  function names(c) {
    ink.fillStyle = c.ground; ink.fillRect(0, 0, left(), canvas.clientHeight);
    const signs = { host: "", partition: "▤ ", database: "⛁ " };
    lanes.forEach((own, row) => {
      ink.fillStyle = own.kind === "host" ? c.text : c.quiet;
      const label = signs[own.kind] + own.name, most = Math.floor(left() / 7.2);
      ink.fillText(label.length > most ? label.slice(0, most - 1) + "…" : label, 6, y(row) + 4);
      ink.strokeStyle = c.line; ink.globalAlpha = 0.6;
      ink.beginPath(); ink.moveTo(0, TOP + row * ROW + 0.5); ink.lineTo(canvas.clientWidth, TOP + row * ROW + 0.5); ink.stroke();
      ink.globalAlpha = 1;
    });
  }

  function ring(c, i, colour, size) {
    if (i === null || i === undefined) return;
    ink.strokeStyle = colour; ink.lineWidth = 2;
    ink.beginPath(); ink.arc(x(at[i]), y(lane[i]), size, 0, 7); ink.stroke(); ink.lineWidth = 1;
  }

  function draw() {
    frame = 0;
    const ratio = window.devicePixelRatio || 1, height = TOP + lanes.length * ROW + 4, width = canvas.clientWidth;
    canvas.style.height = height + "px";
    canvas.width = width * ratio; canvas.height = height * ratio;
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    const c = colours();
    ink.font = "12px " + getComputedStyle(document.documentElement).getPropertyValue("--sans");
    ink.fillStyle = c.ground; ink.fillRect(0, 0, width, height);
    scale(c, height); shadePeriods(c, height);
    ink.save(); ink.beginPath(); ink.rect(left(), TOP, width, height); ink.clip();
    const first = lower(from), last = lower(until + 1), found = new Set(hits);
    const crowded = last - first > 4000;
    for (const arrow of data.arrows) {
      if (at[arrow[0]] < from || at[arrow[1]] > until) continue;
      if (!crowded || mark[arrow[0]] > 0) drawArrow(c, arrow);
    }
    const seen = new Set();
    for (const bright of [false, true]) {
      for (let i = first; i < last; i++) {
        if (!isShown(i) || (isBright(i) || found.has(i)) !== bright) continue;
        const px = x(at[i]);
        if (crowded && mark[i] === 0 && !found.has(i)) {
          // What would be painted over the same point is painted once.
          const key = lane[i] * 100000 + Math.round(px);
          if (seen.has(key)) continue;
          seen.add(key);
        }
        ink.globalAlpha = bright ? 1 : 0.25;
        ink.fillStyle = found.has(i) ? c.warn : mark[i] === 2 ? c.bad : [c.good, c.text, c.accent, c.bad, c.warn, c.quiet, c.quiet, c.bad][kind[i]];
        shape(c, kind[i], px, y(lane[i]), 4);
      }
    }
    ink.globalAlpha = 1;
    ring(c, data.focus, c.bad, 9); ring(c, selected, c.text, 7);
    pins.forEach((pin) => {
      ink.strokeStyle = c.warn; ink.setLineDash([4, 3]);
      ink.beginPath(); ink.moveTo(x(at[pin]), TOP); ink.lineTo(x(at[pin]), height); ink.stroke(); ink.setLineDash([]);
    });
    ink.restore(); names(c);
  }

  const redraw = () => { if (!frame) frame = requestAnimationFrame(draw); };
  function view(a, b) {
    const span = Math.min(Math.max(b - a, 20), end * 1.02);
    from = Math.min(Math.max(a, -end * 0.01), end * 1.01 - span); until = from + span; redraw();
  }
  function zoom(factor, middle) {
    const centre = middle === undefined ? (selected === null ? (from + until) / 2 : Math.min(Math.max(at[selected], from), until)) : middle;
    view(centre - (centre - from) * factor, centre + (until - centre) * factor);
  }
  function select(i, keep) {
    if (i === null || i === undefined || i < 0 || i >= count) return;
    selected = i;
    const arrow = arrowOf.get(i), fates = ["published", "delivered", "delivered again", "delivered late", "lost or refused"];
    $("selected").textContent = `#${index[i]}  ${seconds(at[i])}  ${lanes[lane[i]].name}  [${kinds[kind[i]]}] ${say(i)}` +
      (arrow ? `  (message ${fates[arrow[3]]}${arrow[1] !== i ? ", published at " + seconds(at[arrow[1]]) : ""})` : "");
    if (at[i] < from || at[i] > until) view(at[i] - (until - from) / 2, at[i] + (until - from) / 2);
    if (!keep) history.replaceState(null, "", "#e" + index[i]);
    redraw();
  }
  function pin() {
    if (selected === null) return;
    pins = pins.includes(selected) ? pins.filter((own) => own !== selected) : [...pins, selected].slice(-2);
    const named = pins.map((own) => "#" + index[own]).join(" and ");
    $("pins").textContent = pins.length === 2 ? `Pinned ${named}: ${seconds(Math.abs(at[pins[1]] - at[pins[0]]))} between them.`
      : pins.length === 1 ? `Pinned ${named}; pin another event for the time between.` : "";
    redraw();
  }
  function step(by) {
    let i = selected === null ? (by > 0 ? -1 : count) : selected;
    do i += by; while (i >= 0 && i < count && !isShown(i));
    select(i);
  }
  function atFailure() {
    if (data.focus === null) return;
    let first = data.focus, last = data.focus;
    for (let i = 0; i < count; i++) if (mark[i] === 2) { first = Math.min(first, i); last = Math.max(last, i); }
    const span = Math.max(at[last] - at[first], 1000);
    view(at[first] - span * 0.1, at[last] + span * 0.15); select(data.focus, true);
  }
  function search() {
    const words = $("search").value.toLowerCase().trim();
    hits = [];
    if (words) for (let i = 0; i < count; i++) if ((text[i] + " " + lanes[lane[i]].name + " #" + index[i]).toLowerCase().includes(words)) hits.push(i);
    hit = -1;
    $("hits").textContent = words ? `${hits.length} found` + (hits.length ? ", Enter for the next" : "") : "";
    redraw();
  }
  function nearest(px, py) {
    const row = Math.floor((py - TOP) / ROW), middle = from + ((px - left()) / (canvas.clientWidth - left() - 8)) * (until - from);
    const reach = ((until - from) * 12) / canvas.clientWidth;
    let best = null, least = Infinity;
    for (let i = lower(middle - reach); i < count && at[i] <= middle + reach; i++) {
      if (lane[i] !== row || !isShown(i)) continue;
      const far = Math.abs(at[i] - middle) - (mark[i] > 0 ? reach / 4 : 0);
      if (far < least) { least = far; best = i; }
    }
    return best;
  }
  function follow() {
    const wanted = /^#e(\d+)$/.exec(location.hash);
    if (!wanted) return false;
    const i = index.indexOf(Number(wanted[1]));
    if (i < 0) return false;
    select(i, true);
    const span = Math.min(until - from, end / 4);
    view(at[i] - span / 2, at[i] + span / 2);
    $("timeline").scrollIntoView({ block: "nearest" });
    return true;
  }

  $("timeline").hidden = false;
  const copy = $("copy");
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", () => navigator.clipboard.writeText($("replay").textContent).then(() => (copy.textContent = "Copied"), () => (copy.textContent = "Select and copy")));
  }
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.offsetX, from, until, moved: false }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const by = event.offsetX - drag.x;
    if (Math.abs(by) > 3) drag.moved = true;
    if (drag.moved) { const us = (by / (canvas.clientWidth - left() - 8)) * (drag.until - drag.from); view(drag.from - us, drag.until - us); }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) { const found = nearest(event.offsetX, event.offsetY); if (found !== null) { select(found); if (event.shiftKey) pin(); } }
    drag = null;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const middle = from + ((event.offsetX - left()) / (canvas.clientWidth - left() - 8)) * (until - from);
    zoom(event.deltaY > 0 ? 1.25 : 0.8, middle);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const span = until - from;
    const keys = {
      ArrowLeft: () => view(from - span / 8, until - span / 8), ArrowRight: () => view(from + span / 8, until + span / 8),
      ArrowUp: () => step(-1), ArrowDown: () => step(1), "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.6),
      0: () => view(0, end), Home: () => view(0, end), f: atFailure, p: pin, "/": () => $("search").focus(),
    };
    const own = keys[event.key] || keys[event.key.toLowerCase()];
    if (own && !event.ctrlKey && !event.metaKey) { event.preventDefault(); own(); }
  });
  $("zoom-in").addEventListener("click", () => zoom(0.6));
  $("zoom-out").addEventListener("click", () => zoom(1.6));
  $("whole").addEventListener("click", () => view(0, end));
  $("failure").addEventListener("click", atFailure);
  $("cone").addEventListener("change", redraw);
  $("logs").addEventListener("change", redraw);
  $("search").addEventListener("input", search);
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && hits.length) { hit = (hit + (event.shiftKey ? hits.length - 1 : 1)) % hits.length; select(hits[hit]); $("hits").textContent = `${hit + 1} of ${hits.length}`; }
  });
  window.addEventListener("hashchange", follow);
  // A link to what the address already names changes no hash, but the selection may have gone elsewhere since.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.event");
    if (link && link.hash === location.hash) follow();
  });
  window.addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  if (!follow()) { if (data.focus === null) view(0, end); else atFailure(); }
})();
