// What the page does beyond text and tables: sorting, filtering, the gallery of every image. Without it all else works.
"use strict";

function make(tag, attributes = {}, ...children) {
  const isSvg = ["svg", "g", "image", "path", "rect", "line", "clipPath", "defs"].includes(tag);
  const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// Tables: a click on a heading sorts, a second one turns round, a third one restores the order.

function valueOf(row, column) {
  const cell = row.cells[column];
  const own = cell.dataset.value ?? cell.firstChild?.textContent.trim() ?? "";
  const text = own === "" ? cell.textContent.trim() : own;
  const number = Number.parseFloat(text.replace("\u2212", "-").replace("< ", "").replace(/[\u2009,]/g, ""));
  return Number.isNaN(number) || /^[a-z]/i.test(text) ? text.toLowerCase() : number;
}

function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1; // what is no number, as a dash, comes last
  if (typeof b === "number") return 1;
  return a.localeCompare(b);
}

function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  if (original.length < 2) return;
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    if (heading.dataset.plain !== undefined) return;
    const sort = () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.ariaSort ?? "none"];
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const rows = [...original];
      if (next !== "none") rows.sort((a, b) => sign * compareValues(valueOf(a, column), valueOf(b, column)));
      body.append(...rows);
    };
    const button = make("button", { type: "button", class: "sort", onclick: sort });
    button.append(...heading.childNodes);
    heading.append(button);
  });
  if (original.length < 6) return;
  const count = make("span", { role: "status", class: "note" });
  const filter = make("input", {
    type: "search",
    placeholder: "Filter rows",
    "aria-label": "Filter rows",
    oninput: () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      const shown = original.filter((row) => {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        return !row.hidden;
      });
      count.textContent = filter.value ? `${shown.length} of ${original.length} rows` : "";
    },
  });
  table.parentElement.before(make("div", { class: "controls" }, filter, count));
}

// The gallery.

const thumbnails = JSON.parse(document.getElementById("thumbnails")?.textContent ?? "{}");
const STEP = 24;
let ids = 0;

function select(label, options, onchange) {
  const field = make("select", { onchange, "aria-label": label }, ...options.map(([value, text]) => make("option", { value }, text)));
  return [make("label", {}, make("span", {}, label), field), field];
}

function format(value, metric) {
  if (value === null || value === undefined) return "\u2013";
  return value.toFixed(metric.unit ? 2 : 3).replace("-", "\u2212");
}

function explorer(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const colour = (variant) => (variant === "truth" ? "#fff" : `var(--c${data.variants.indexOf(variant) % 8})`);
  const names = ["truth", ...data.variants];
  const shown = new Set(names);
  const others = data.variants.filter((variant) => variant !== data.baseline);
  let found = [];
  let limit = STEP;

  const [setLabel, setField] = select("Images of", data.evaluations.map((each, i) => [i, each.name]), offer);
  const [metricLabel, metricField] = select("Sort by", [], update);
  const [ofLabel, ofField] = select(
    "of",
    [
      ["", "all variants"],
      ...data.variants.map((each) => [`=${each}`, each]),
      ...others.map((each) => [`-${each}`, `${each} \u2212 ${data.baseline}, largest first`]),
    ],
    update,
  );
  const [, orderField] = select("Order", [["worst", "worst first"], ["best", "best first"]], update);
  const search = make("input", { type: "search", placeholder: "Image id", "aria-label": "Image id", oninput: update });
  const boxes = names.map((name) =>
    make(
      "label",
      { class: "box" },
      make("input", {
        type: "checkbox",
        checked: true,
        onchange: (event) => {
          event.target.checked ? shown.add(name) : shown.delete(name);
          draw();
        },
      }),
      make("span", { class: name === "truth" ? "chip reference" : "chip", style: `--colour: ${colour(name)}` }),
      name === "truth" ? "reference" : name,
    ),
  );
  const status = make("p", { class: "note", role: "status" });
  const grid = make("div", { class: "gallery cards" });
  const more = make("button", { type: "button", class: "more", onclick: () => ((limit += STEP), draw()) }, "Show more");
  root.append(
    make("div", { class: "controls" }, search, ...(data.evaluations.length > 1 ? [setLabel] : []), metricLabel, ofLabel, orderField),
    make("div", { class: "controls" }, ...boxes),
    status,
    grid,
    more,
  );

  function offer() {
    const known = data.evaluations[setField.value].metrics;
    const primary = data.metrics.findIndex((each) => each.name === data.primary);
    const wanted = metricField.value === "" ? primary : Number(metricField.value);
    metricField.replaceChildren(...known.map((i) => make("option", { value: i }, data.metrics[i].label)));
    metricField.value = known.includes(wanted) ? wanted : primary;
    update();
  }

  function score(image, metric, of) {
    const values = (of ? [of] : data.variants).map((each) => image.scores[each]?.[metric]).filter((each) => each != null);
    return values.length ? values.reduce((a, b) => a + b) / values.length : null;
  }

  function key(image) {
    const of = ofField.value;
    const metric = Number(metricField.value);
    if (!of.startsWith("-")) return score(image, metric, of.slice(1));
    const [a, b] = [score(image, metric, of.slice(1)), score(image, metric, data.baseline)];
    return a === null || b === null ? null : a - b;
  }

  function update() {
    const isDifference = ofField.value.startsWith("-");
    const higher = data.metrics[metricField.value].higher;
    const sign = higher === (orderField.value === "worst") ? 1 : -1;
    orderField.disabled = isDifference;
    const wanted = search.value.trim().toLowerCase();
    const set = data.evaluations[setField.value];
    found = set.images
      .filter((image) => image.id.toLowerCase().includes(wanted))
      .map((image) => ({ image, value: key(image) }))
      .filter((each) => each.value !== null)
      .sort((a, b) => (isDifference ? Math.abs(b.value) - Math.abs(a.value) : sign * (a.value - b.value)));
    limit = STEP;
    const n = set.images.length;
    const why = set.painted
      ? ` With an artifact, pictures are kept of what went worst: of ${n} of ${set.total} images.`
      : ` The page has room for the ${n} hardest of ${set.total}; medbench report --all-images has all.`;
    const counted = `${found.length} of ${n} ${n === 1 ? "image" : "images"}`;
    status.textContent = `${counted}; scores are means over seeds, contours of the first.${n < set.total ? why : ""}`;
    draw();
  }

  function photograph(image, layers) {
    const picture = make("svg", { viewBox: `0 0 ${image.w} ${image.h}`, "aria-hidden": "true" });
    picture.append(make("image", { href: thumbnails[image.key], width: image.w, height: image.h }), ...layers);
    return picture;
  }

  function contour(image, name, filled = false) {
    const d = name === "truth" ? image.truth : image.paths[name];
    if (!d) return [];
    const halo = make("path", { d, class: "halo" });
    return [halo, make("path", { d, style: `stroke: ${colour(name)}; fill: ${filled ? colour(name) : "none"}; fill-opacity: .25` })];
  }

  function draw() {
    const metric = data.metrics[metricField.value];
    const label = `${ofField.value.startsWith("-") ? "difference in mean" : "mean"} ${metric.label}`;
    grid.replaceChildren(
      ...found.slice(0, limit).map(({ image, value }, place) => {
        const layers = names.filter((name) => shown.has(name)).flatMap((name) => contour(image, name));
        const text = `${image.id}, ${label} ${format(value, metric)}`;
        return make(
          "button",
          { type: "button", class: "card", "aria-label": `${text}: compare`, onclick: () => open(place) },
          photograph(image, layers),
          make("span", {}, image.id),
          make("span", { class: "note" }, `${label} ${format(value, metric)} \u00b7 hardest: ${image.rank} of ${data.evaluations[setField.value].total}`),
        );
      }),
    );
    more.hidden = found.length <= limit;
  }

  // One image, large: two of its masks on either side of a line that moves.

  const sides = names.map((name) => [name, name === "truth" ? "reference" : name]);
  const [leftLabel, leftField] = select("Left", sides, () => show());
  const [rightLabel, rightField] = select("Right", sides, () => show());
  rightField.value = data.baseline;
  const line = make("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Dividing line", oninput: () => divide() });
  const title = make("h5", { id: `dialog-${++ids}` });
  const stage = make("div", { class: "stage" });
  const numbers = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Scores of the image" });
  const step = (by) => () => ((place = (place + by + found.length) % found.length), show());
  const dialog = make(
    "dialog",
    { "aria-labelledby": title.id },
    make(
      "div",
      { class: "controls" },
      title,
      make("button", { type: "button", onclick: step(-1) }, "Previous"),
      make("button", { type: "button", onclick: step(1) }, "Next"),
      make("button", { type: "button", onclick: () => dialog.close() }, "Close"),
    ),
    make("div", { class: "controls" }, leftLabel, rightLabel),
    stage,
    line,
    make("p", { class: "note" }, "Scores: means over a variant's seeds. Contours: of its first."),
    numbers,
  );
  root.append(dialog);
  let place = 0;
  let clips = [];

  function open(at) {
    place = at;
    show();
    dialog.showModal();
  }

  function divide() {
    const { image } = found[place];
    const x = (image.w * line.value) / 100;
    clips[0].setAttribute("width", x);
    clips[1].setAttribute("x", x);
    clips[1].setAttribute("width", image.w - x);
    clips[2].setAttribute("x1", x);
    clips[2].setAttribute("x2", x);
  }

  function show() {
    const { image } = found[place];
    const id = `clip-${ids}`;
    title.textContent = image.id;
    const rects = [0, 1].map(() => make("rect", { y: 0, height: image.h }));
    const bar = make("line", { y1: 0, y2: image.h, class: "bar" });
    clips = [...rects, bar];
    const picture = photograph(image, [
      make("defs", {}, ...rects.map((rect, i) => make("clipPath", { id: `${id}-${i}` }, rect))),
      ...[leftField, rightField].map((field, i) => make("g", { "clip-path": `url(#${id}-${i})` }, ...contour(image, field.value, true))),
      bar,
    ]);
    stage.replaceChildren(picture);
    divide();
    const variants = data.variants.filter((each) => image.scores[each]);
    numbers.replaceChildren(
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, make("td"), ...variants.map((each) => make("th", { scope: "col", class: "n" }, each)))),
        make(
          "tbody",
          {},
          ...data.evaluations[setField.value].metrics.map((i) => [data.metrics[i], i]).map(([metric, i]) =>
            make(
              "tr",
              {},
              make("th", { scope: "row" }, metric.unit ? `${metric.label} (${metric.unit})` : metric.label),
              ...variants.map((each) => make("td", { class: "n" }, format(image.scores[each][i], metric))),
            ),
          ),
        ),
      ),
    );
  }

  root.hidden = false;
  offer();
}

// The contents: closed where there is little room, and marking where the reader is.

function contents(menu) {
  if (window.matchMedia("(max-width: 75rem)").matches) menu.open = false;
  const links = new Map([...menu.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((each) => each.isIntersecting)) {
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id).setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "0px 0px -75% 0px" },
  );
  links.forEach((_, id) => observer.observe(document.getElementById(id)));
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll(".explorer").forEach(explorer);
document.querySelectorAll("nav .menu").forEach(contents);
for (const text of document.querySelectorAll(".paste pre")) {
  const choose = () => window.getSelection().selectAllChildren(text);
  text.before(make("button", { type: "button", onclick: choose }, "Select the text"));
}
