"use strict";
(async () => {
  const $ = (id) => document.getElementById(id), HEIGHT = 52, MOST_PRINTED = 500;
  const NAMES = {
    text: "place in training", copies: "copies", copies_exposed: "copies exposed", first_step: "first step",
    last_step: "last step", first_checkpoint: "first checkpoint that had it", lost_checkpoint: "checkpoint that lost it",
    matched_tokens: "matched tokens", log_likelihood: "log-likelihood", prompt: "prompt", continuation: "continuation", file: "document",
  };
  const packed = atob($("data").textContent.trim()), bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const {steps, columns, tokens} = await new Response(stream).json();
  const n = columns.text.length, list = $("list"), spacer = $("spacer");
  let order = [], selected = -1, lower = null;

  // Control, format and separator characters, written out: they neither move nor turn anything.
  const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]/gu;
  const code = (c) => c === "\n" ? "\\n" : c === "\t" ? "\\t" : c === "\r" ? "\\r"
    : "\\u{" + c.codePointAt(0).toString(16) + "}";
  const visible = (text) => text.replace(HIDDEN, code);
  const written = (number) => number.toLocaleString("en").replace("-", "\u2212");
  const known = (value) => value !== null && value !== undefined;

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function facts(i) {
    const c = columns, parts = ["text " + c.text[i].toLocaleString("en")];
    const copies = known(c.copies[i]) ? c.copies[i].toLocaleString("en") : "";
    if (known(c.copies_exposed[i])) parts.push(`${c.copies_exposed[i].toLocaleString("en")} of ${copies} copies exposed`);
    else if (copies) parts.push(`${copies} ${c.copies[i] === 1 ? "copy" : "copies"}`);
    if (known(c.first_step[i])) parts.push(c.first_step[i] === c.last_step[i] ? `step ${written(c.first_step[i])}` : `steps ${written(c.first_step[i])} to ${written(c.last_step[i])}`);
    parts.push(`since checkpoint ${written(c.first_checkpoint[i])}`);
    if (known(c.lost_checkpoint[i])) parts.push(`lost at ${written(c.lost_checkpoint[i])}`);
    if (known(c.matched_tokens[i]) && c.matched_tokens[i] < tokens) parts.push(`${c.matched_tokens[i]} of ${tokens} tokens`);
    if (known(c.log_likelihood[i])) parts.push(`log-likelihood ${written(c.log_likelihood[i])} nats`);
    if (known(c.file[i])) parts.push(visible(`${c.file[i]}:${c.line[i]}`));
    return parts.join(" · ");
  }
  function row(place) {
    const i = order[place], made = element("div", "row"), line = element("div", "meta"), words = element("div", "words");
    made.id = "row-" + i;
    made.setAttribute("role", "option");
    made.setAttribute("aria-posinset", place + 1);
    made.setAttribute("aria-setsize", order.length);
    made.setAttribute("aria-selected", i === selected);
    made.style.top = place * HEIGHT + "px";
    if (columns.labels[i].length) line.append(element("b", "", columns.labels[i].join(", ")), " · ");
    line.append(facts(i));
    const prompt = element("span", "prompt"), end = element("bdi", "", visible(columns.prompt[i].slice(-160)));
    prompt.append(end);
    words.append(prompt, element("span", "bar", "|"), element("span", "rest", visible(columns.continuation[i].slice(0, 400))));
    made.append(line, words);
    made.onclick = () => open(i);
    return made;
  }
  function draw() {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 4);
    const last = Math.min(order.length, first + Math.ceil(list.clientHeight / HEIGHT) + 8);
    const rows = [];
    for (let place = first; place < last; place++) rows.push(row(place));
    spacer.replaceChildren(...rows);
    if (order.slice(first, last).includes(selected)) list.setAttribute("aria-activedescendant", "row-" + selected);
    else list.removeAttribute("aria-activedescendant");
  }
  function wide(parent, text) {  // line ends are kept, and shown
    for (const piece of text.split(/(\n|[\p{C}\p{Zl}\p{Zp}])/u)) {
      if (!piece) continue;
      if (piece === "\n") parent.append(element("span", "control", "\\n"), "\n");
      else if (visible(piece) !== piece) parent.append(element("span", "control", visible(piece)));
      else parent.append(piece);
    }
  }
  function open(i) {
    selected = i;
    const c = columns, box = $("detail"), text = element("pre", ""), table = element("table", "");
    const prompt = element("span", "prompt");
    wide(prompt, c.prompt[i]);
    text.append(prompt, element("span", "bar", "|"));
    wide(text, c.continuation[i]);
    const history = element("div", "history");
    steps.forEach((step, at) => {
      const state = {1: ["memorized", "memorized"], 0: ["", "not memorized"], "-": ["unknown", "not evaluated"]}[c.history[i][at]];
      const mark = element("span", state[0], written(step));
      mark.title = `step ${written(step)}: ${state[1]}`;
      history.append(mark);
    });
    const add = (name, value) => {
      const line = element("tr", ""), cell = element("td", "");
      cell.append(value);
      line.append(element("td", "", name), cell);
      table.append(line);
    };
    add("checkpoints (filled: memorized)", history);
    const places = c.copy_indices[i] ?? [c.text[i]], more = known(c.copies[i]) && c.copies[i] > places.length;
    add(more ? `first ${places.length} of ${c.copies[i]} copies` : "copies, by row of the corpus", places.join(", "));
    box.scrollTop = 0;
    box.replaceChildren(element("h2", "", "Text " + c.text[i]), element("p", "meta", facts(i)), text, table);
    box.hidden = false;
    draw();
    box.scrollIntoView({block: "nearest"});
  }
  function compare(values, sign) {
    return (a, b) => {
      const x = values[a], y = values[b];
      if (!known(x) || !known(y)) return known(y) - known(x) || a - b;
      return sign * (x < y ? -1 : x > y ? 1 : 0) || columns.text[a] - columns.text[b];
    };
  }
  function update() {
    const wanted = $("search").value.toLowerCase(), label = $("label").value, at = $("step").value;
    const least = $("least").valueAsNumber, most = $("most").valueAsNumber, c = columns;
    if (wanted && !lower) lower = c.prompt.map((prompt, i) => (prompt + c.continuation[i]).toLowerCase());
    const from = $("from").valueAsNumber, to = $("to").valueAsNumber;
    const outside = (row) => row < from || row > to;
    order = [];
    for (let i = 0; i < n; i++) {
      if (wanted && !lower[i].includes(wanted)) continue;
      if (label && !c.labels[i].includes(label)) continue;
      if (at && c.history[i][at] !== "1") continue;
      if (least >= 1 && !(c.copies[i] >= least)) continue;
      if (most >= 1 && !(known(c.copies[i]) && c.copies[i] <= most)) continue;
      if ((c.copy_indices[i] ?? [c.text[i]]).every(outside)) continue;
      order.push(i);
    }
    order.sort(compare(c[$("order").value], $("descending").checked ? -1 : 1));
    $("shown").textContent = `${order.length.toLocaleString("en")} of ${n.toLocaleString("en")} texts`;
    spacer.style.height = order.length * HEIGHT + "px";
    list.scrollTop = 0;
    draw();
  }
  for (const name in NAMES) {
    if (!columns[name].some(known)) continue;
    const option = element("option", "", NAMES[name]);
    option.value = name;
    $("order").append(option);
  }
  steps.forEach((step, at) => {
    const option = element("option", "", written(step));
    option.value = at;
    $("step").append(option);
  });
  function paper() {  // what is chosen, in full: the list has the rows in sight alone
    const made = order.slice(0, MOST_PRINTED).map((i) => {
      const one = element("div", ""), text = element("pre", "");
      wide(text, columns.prompt[i]);
      text.append(element("span", "bar", "|"));
      wide(text, columns.continuation[i]);
      one.append(element("p", "meta", [columns.labels[i].join(", "), facts(i)].filter(Boolean).join(" · ")), text);
      return one;
    });
    const of = `${written(made.length)} of ${written(n)} texts printed`;
    const left = order.length > made.length ? `, the first of ${written(order.length)} that are chosen` : order.length < n ? ", those that are chosen" : "";
    $("paper").replaceChildren(element("p", "", `${of}${left}, by ${NAMES[$("order").value]}.`), ...made);
    $("paper").hidden = false;
  }
  addEventListener("beforeprint", paper);
  matchMedia("print").addEventListener("change", (media) => { if (media.matches) paper(); });
  addEventListener("afterprint", () => $("paper").replaceChildren());
  let waiting;
  $("filters").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(update, 80); });
  list.addEventListener("scroll", () => requestAnimationFrame(draw));
  addEventListener("resize", draw);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  list.addEventListener("keydown", (event) => {
    const moves = {ArrowDown: 1, ArrowUp: -1, j: 1, k: -1};
    if (!(event.key in moves) || !order.length) return;
    event.preventDefault();
    const place = Math.min(order.length - 1, Math.max(0, order.indexOf(selected) + moves[event.key]));
    if (place * HEIGHT < list.scrollTop) list.scrollTop = place * HEIGHT;
    if ((place + 1) * HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = (place + 1) * HEIGHT - list.clientHeight;
    open(order[place]);
  });
  const rows = /^#rows=(\d+)-(\d+)$/.exec(location.hash);
  if (rows) [$("from").value, $("to").value] = rows.slice(1);
  update();
  document.body.dataset.ready = "yes";
})().catch((error) => { document.getElementById("shown").textContent = "This page cannot be shown: " + error; });
