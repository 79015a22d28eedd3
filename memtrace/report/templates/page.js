// What a page does once it is read: draws charts, sorts and filters tables, explains terms.
"use strict";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function style() {
  const [ink, soft, line, box, blue, pale, light, lowest, red, grey] =
    ["--ink", "--soft", "--line", "--box", "--blue", "--pale", "--light", "--lowest", "--red", "--grey"].map(css);
  const size = Math.min(1.4, parseFloat(getComputedStyle(document.documentElement).fontSize) / 16);  // as readers set it
  const axis = { labelColor: ink, titleColor: ink, gridColor: line, domainColor: grey, tickColor: grey, titleFontWeight: "normal" };
  return {
    background: "transparent", font: "system-ui, sans-serif",
    axis: { ...axis, labelFontSize: 12 * size, titleFontSize: 12.5 * size, labelSeparation: 6, labelFlush: false },
    axisX: { grid: false }, view: { stroke: null },
    legend: { labelColor: ink, titleColor: ink, labelFontSize: 12 * size, titleFontSize: 11 * size },
    title: { color: ink }, text: { color: ink, fontSize: 12 * Math.min(size, 1.2) },
    point: { color: blue, filled: true, opacity: 1 }, line: { color: blue, strokeWidth: 2 }, area: { color: pale },
    bar: { color: blue }, rule: { color: grey }, errorbar: { color: grey }, rect: { color: blue },
    range: { category: [blue, red, grey, "#8a6d1b", "#5b8c5a", "#7b5ea7"], heatmap: [lowest, blue], ramp: [light, blue], diverging: [red, box, blue] },
    style: { ink: { color: ink, fill: ink, stroke: ink }, quiet: { color: soft, stroke: soft }, faint: { color: light, stroke: light, strokeWidth: 1, opacity: 0.5 }, band: { color: pale, fill: pale, opacity: 0.6 }, alert: { color: red, fill: red, stroke: red }, halo: { color: css("--ground"), stroke: css("--ground"), strokeWidth: 5 } },
  };
}

// Where the marks of a chart are in the window, a line every few pixels.
function marked(place) {
  const points = [], symbols = [...place.querySelectorAll(".mark-symbol path")];
  const every = Math.ceil(symbols.length / 400);
  symbols.filter((_, i) => i % every === 0).forEach((one) => {
    const box = one.getBoundingClientRect();
    points.push([box.x + box.width / 2, box.y + box.height / 2]);
  });
  place.querySelectorAll(".mark-line path").forEach((line) => {
    const matrix = line.getScreenCTM(), length = line.getTotalLength(), steps = Math.min(60, Math.ceil(length / 8));
    for (let i = 0; i <= steps; i++) {
      const at = line.getPointAtLength(length * i / (steps || 1)).matrixTransform(matrix);
      points.push([at.x, at.y]);
    }
  });
  return points;
}

// Of the four corners beside the pointer, the box of a mark goes where it covers the fewest marks.
function aside(place, event) {
  const box = document.getElementById("vg-tooltip-element");
  if (!box?.classList.contains("visible")) return;
  const [x, y, wide, high, gap] = [event.clientX, event.clientY, box.offsetWidth, box.offsetHeight, 14];
  const width = document.documentElement.clientWidth, points = marked(place);
  const fit = (at, size, room) => Math.max(4, Math.min(at, room - size - 4));
  const corners = [[1, -1], [-1, -1], [1, 1], [-1, 1]].map(([right, down]) => {
    const left = fit(right > 0 ? x + gap : x - gap - wide, wide, width);
    const top = fit(down > 0 ? y + gap : y - gap - high, high, innerHeight);
    const inside = (px, py) => px > left - 4 && px < left + wide + 4 && py > top - 4 && py < top + high + 4;
    const covered = points.filter(([px, py]) => inside(px, py)).length + (inside(x, y) ? 1e6 : 0);
    return { left, top, covered };
  });
  const best = corners.reduce((a, b) => (b.covered < a.covered ? b : a));
  const fixed = getComputedStyle(box).position === "fixed";
  box.style.left = `${best.left + (fixed ? 0 : scrollX)}px`;
  box.style.top = `${best.top + (fixed ? 0 : scrollY)}px`;
}

const views = new Map();  // of the charts that are drawn

function specified(place) {  // the frame that several charts share, with the rows of this one
  const own = JSON.parse(place.nextElementSibling.textContent);
  const placed = (key, value) => (key === "domain" && typeof value === "number" ? own.domains[value] : value);
  const chart = JSON.parse(document.getElementById(`frame-${own.frame}`).textContent, placed);
  for (const [name, { columns, rows }] of Object.entries(own.datasets)) {
    chart.datasets[name] = rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]])));
  }
  return chart;
}

function draw(place) {
  const chart = specified(place);
  const before = views.get(place);
  for (const param of chart.params ?? []) if (before && param.bind) param.value = before.signal(param.name);
  if (!before) {
    views.set(place, null);
    ["pointermove", "mousemove"].forEach((move) => place.addEventListener(move, (event) => aside(place, event)));
  }
  // Level 1 tells errors alone: a checkpoint without events is no fault.
  const options = { ast: true, renderer: "svg", actions: false, logLevel: 1, config: style() };
  vegaEmbed(place, chart, options).then(({ view }) => {
    views.set(place, view);
    place.querySelectorAll("input[type=range]").forEach((input) => label(input, chart.usermeta?.sliders?.[input.name]));
    view.addEventListener("click", (event, item) => {
      const anchor = item && item.datum && item.datum.anchor;
      if (/^[\w-]+\.html(#[\w=-]+)?$/.test(anchor)) location.href = anchor;
    });
    for (const moved of ["pointermove", "pointerdown"]) place.addEventListener(moved, () => requestAnimationFrame(inside));
  });
}

function inside() {  // the box of numbers stays on a narrow screen
  const box = document.getElementById("vg-tooltip-element");
  const left = box && parseFloat(box.style.left), most = document.documentElement.clientWidth - 8;
  if (box) box.style.left = `${Math.max(8, Math.min(left, most - box.offsetWidth))}px`;
}

function label(slider, names) {  // a slider of places shows what stands there
  if (!names) return;
  const shown = document.createElement("output");
  const update = () => { shown.textContent = names[slider.value - slider.min]; slider.setAttribute("aria-valuetext", shown.textContent); };
  slider.nextElementSibling.replaceWith(shown);
  slider.addEventListener("input", update);
  update();
}

function drawCharts() {
  const places = [...document.querySelectorAll(".chart")];
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting && !views.has(target)) draw(target);
  }, { rootMargin: "400px" });
  places.forEach((place) => watcher.observe(place));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...views.keys()].forEach(draw));
  const print = (on) => {  // with ink on paper, whatever the screen is
    const root = document.documentElement.classList;
    if (root.contains("printed") === on) return;
    root.toggle("printed");
    places.filter((place) => place.checkVisibility()).forEach(draw);
  };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  matchMedia("print").addEventListener("change", (media) => print(media.matches));
}

function key(text) {
  const found = text.replaceAll(",", "").replaceAll("−", "-").match(/-?\d+(\.\d+)?(e[-+]?\d+)?/i);
  return found ? Number(found[0]) : NaN;
}

function compare(a, b) {
  const [x, y] = [key(a), key(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x === y ? 0 : x - y;
}

function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.tHead.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const text = (row) => row.cells[column].textContent.trim(), none = (row) => text(row) === "–";
      // What has no value stands last either way.
      body.replaceChildren(...[...body.rows].sort((a, b) => none(a) - none(b) || (up ? 1 : -1) * compare(text(a), text(b))));
    });
  });
}

function filterable(table) {
  if (table.tBodies[0].rows.length < 12) return;
  const label = document.createElement("label");
  label.className = "filter";
  label.textContent = "Only rows with ";
  const input = document.createElement("input");
  input.type = "search";
  label.append(input);
  table.parentElement.before(label);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

function whole(box) {  // a box that scrolls ends below a row, and says which rows are in sight
  const table = box.querySelector("table"), line = document.createElement("p"), shown = document.createElement("span"), all = document.createElement("button");
  const tall = parseFloat(getComputedStyle(box).maxHeight);
  line.className = "sight";
  all.type = "button";
  line.append(shown, all);
  box.after(line);
  const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const tell = () => {
    const there = rows(), head = table.tHead.offsetHeight, top = box.scrollTop + head, end = box.scrollTop + box.clientHeight;
    const seen = there.filter((row) => row.offsetTop + row.offsetHeight / 2 > top && row.offsetTop + row.offsetHeight / 2 < end);
    const [first, last] = [there.indexOf(seen[0]) + 1, there.indexOf(seen.at(-1)) + 1];
    const n = there.length.toLocaleString("en");
    shown.textContent = seen.length === there.length ? `All ${n} rows` : `Rows ${first.toLocaleString("en")} to ${last.toLocaleString("en")} of ${n}`;
    all.textContent = box.classList.contains("long") ? "Show all" : "Show fewer";
    all.hidden = box.classList.contains("long") && seen.length === there.length;
  };
  const fit = () => {
    const last = rows().findLast((row) => row.offsetTop + row.offsetHeight <= tall);
    if (last && table.offsetHeight) box.style.setProperty("--height", `${last.offsetTop + last.offsetHeight + box.offsetHeight - box.clientHeight}px`);
    tell();
  };
  all.addEventListener("click", () => { box.classList.toggle("long"); tell(); });
  box.addEventListener("scroll", tell);
  new ResizeObserver(fit).observe(table);
}

function explain(button) {
  const meaning = document.getElementById(button.getAttribute("popovertarget"));
  const near = () => {
    const place = button.getBoundingClientRect();
    meaning.style.left = `${Math.max(16, Math.min(place.left, innerWidth - meaning.offsetWidth - 16))}px`;
    const below = place.bottom + 6;
    meaning.style.top = `${below + meaning.offsetHeight < innerHeight ? below : Math.max(6, place.top - meaning.offsetHeight - 6)}px`;
  };
  let hovered = false;
  meaning.addEventListener("toggle", (event) => { if (event.newState === "open") near(); });
  button.addEventListener("mouseenter", () => { if (!meaning.matches(":popover-open")) { hovered = true; meaning.showPopover(); } });
  button.addEventListener("mouseleave", () => { if (hovered) { hovered = false; meaning.hidePopover(); } });
  button.addEventListener("click", () => { hovered = false; });
}

function openTarget(hash) {
  const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
  if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
}

document.addEventListener("click", (event) => {  // at once, and where the address stays the same
  const link = event.target.closest("a[href^='#']");
  if (link) openTarget(link.hash);
});
if (window.vegaEmbed) drawCharts();
document.querySelectorAll("table.sortable").forEach((table) => { sortable(table); filterable(table); });
document.querySelectorAll(".scroll.long").forEach(whole);
document.querySelectorAll("button.term").forEach(explain);
addEventListener("hashchange", () => openTarget(location.hash));
openTarget(location.hash);
addEventListener("beforeprint", () => document.querySelectorAll(".rest").forEach((rest) => { rest.open = true; }));
