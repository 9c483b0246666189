// What the page does beyond text and tables: sorting, filtering, copying, enlarging, the gallery of every image. Without
// it all else works.
"use strict";

function make(tag, attributes = {}, ...children) {
  const isSvg = ["svg", "g", "image", "path", "rect", "line", "clipPath", "defs", "title"].includes(tag);
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

// What is wider than its place scrolls, and shows at its edge that there is more.

function cued(region) {
  const mark = () => {
    const room = region.scrollWidth - region.clientWidth;
    region.classList.toggle("more-left", region.scrollLeft > 1);
    region.classList.toggle("more-right", room - region.scrollLeft > 1);
  };
  region.addEventListener("scroll", mark, { passive: true });
  const observer = new ResizeObserver(mark);
  [region, ...region.children].forEach((each) => observer.observe(each));
}

// On a phone a table of sentences becomes a card a row: each cell says what it is.

function cards(table) {
  const labels = [...table.tHead.rows[0].cells].map((heading) => heading.firstChild.textContent.trim());
  for (const row of table.tBodies[0].rows) [...row.cells].forEach((cell, i) => (cell.dataset.label = labels[i]));
  table.classList.add("cards");
}

// A text to paste: copied by a button, also where a page may not use the clipboard.

function copyable(text) {
  const said = make("span", { role: "status", class: "note" });
  const copy = async () => {
    window.getSelection().selectAllChildren(text);
    try {
      await navigator.clipboard.writeText(text.textContent);
      said.textContent = "Copied";
    } catch {
      said.textContent = document.execCommand("copy") ? "Copied" : "Selected: copy it with your keys";
    }
    setTimeout(() => said.replaceChildren(), 4000);
  };
  text.before(make("div", { class: "controls" }, make("button", { type: "button", onclick: copy }, "Copy"), said));
}

// A dialog with one of several things, large: buttons and arrow keys go to the next, and the address leads back to it.

let ids = 0;
const address = (hash) => history.replaceState(null, "", window.location.href.split("#")[0] + hash);
const imageLink = (study, evaluation, image) => `#${study}-image/${[evaluation, image].map(encodeURIComponent).join("/")}`;
const followers = []; // each opens the image that an address names, if it has it, and says whether

function viewer({ step, closed }) {
  const title = make("h5", { id: `dialog-${++ids}` });
  const position = make("span", { class: "note" });
  const body = make("div");
  const buttons = [["Previous", -1], ["Next", 1]].map(([text, by]) => make("button", { type: "button", onclick: () => step(by) }, text));
  let [before, own] = ["", ""];
  const dialog = make(
    "dialog",
    {
      "aria-labelledby": title.id,
      closedby: "any",
      onclick: (event) => event.target.closest("a") && dialog.close(),
      onclose: () => {
        const hasLeft = window.location.hash !== own; // by a link inside
        if (!hasLeft) address(before);
        closed(hasLeft);
      },
    },
    make(
      "div",
      { class: "controls" },
      make("div", { role: "status", class: "title" }, title, " ", position),
      ...buttons,
      make("button", { type: "button", onclick: () => dialog.close() }, "Close"),
    ),
    body,
  );
  document.getElementById("main").append(dialog);
  window.addEventListener("beforeprint", () => dialog.close());
  // On the document, because a click on a picture takes the focus out of the dialog.
  document.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const isUsed = event.target.closest("input, select, .more-left, .more-right"); // they move by these keys too
    if (!dialog.open || !by || isUsed || buttons[0].hidden || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    step(by);
  });

  function show(name, place, n, link = "") {
    title.textContent = name;
    position.textContent = n > 1 ? `${place + 1} of ${n}` : "";
    buttons.forEach((button) => (button.hidden = n < 2));
    document.querySelectorAll("dialog[open]").forEach((each) => each === dialog || each.close());
    if (!dialog.open) {
      before = window.location.hash.includes("-image/") ? "" : window.location.hash;
      dialog.showModal();
    }
    own = link || before;
    address(own);
  }
  return { show, body };
}

// Figures and photographs, large: each moves into the dialog, with what it is part of, and back.

function enlarger(study, figures) {
  if (!figures.length) return;
  let place = 0;
  let holder = null;
  const view = viewer({
    step: (by) => show((place + by + figures.length) % figures.length),
    closed: (hasLeft) => {
      restore();
      if (!hasLeft) figures[place].querySelector(".enlarge").focus();
    },
  });

  function restore() {
    holder?.replaceWith(figures[place]);
    holder = null;
  }

  function show(at) {
    restore();
    place = at;
    const figure = figures[place];
    const { evaluation, image } = figure.dataset;
    const isAbove = (each) => each.compareDocumentPosition(figure) & Node.DOCUMENT_POSITION_FOLLOWING;
    const legend = image && [...study.querySelectorAll(".legend")].findLast(isAbove); // a plot has its own
    holder = make("div", { style: `height: ${figure.offsetHeight}px` });
    figure.replaceWith(holder);
    view.body.replaceChildren(...(legend ? [legend.cloneNode(true)] : []), figure);
    view.show(nameOf(figure), place, figures.length, image && imageLink(study.id, evaluation, image));
  }

  figures.forEach((figure, at) => {
    const open = () => holder || show(at);
    const icon = make("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, make("path", { d: "M3 9V3h6M15 3h6v6M21 15v6h-6M9 21H3v-6" }));
    figure.querySelector("svg").addEventListener("click", open);
    const button = make("button", { type: "button", class: "enlarge", "aria-label": `Enlarge: ${nameOf(figure)}`, onclick: open }, icon);
    figure.querySelector("figcaption").before(button);
  });
  followers.push((hash) => {
    const at = figures.findIndex(({ dataset }) => dataset.image && imageLink(study.id, dataset.evaluation, dataset.image) === hash);
    if (at >= 0) show(at);
    return at >= 0;
  });
}

const nameOf = (figure) => figure.dataset.image ?? figure.querySelector("svg").getAttribute("aria-label");

// The curve of one trial: chosen in a list, by pointing at its line, or in its row of the table.

function curves(study) {
  const lines = [...study.querySelectorAll('figure.plot g[id*="-of-"]')];
  if (!lines.length) return;
  const trialOf = (line) => line.id.split("-of-").pop();
  const figure = lines[0].closest("figure");
  const names = new Map();
  for (const trial of new Set(lines.map(trialOf))) {
    const { cells } = document.getElementById(`${study.id}-trial-${trial}`);
    const [variant, seed, fold] = [...cells].map((cell) => cell.innerText.replace("\n", ", "));
    names.set(trial, `${variant}, seed ${seed}${fold === "\u2013" ? "" : `, fold ${fold}`}`);
    const look = () => {
      choose(trial);
      figure.scrollIntoView({ block: "center" });
      field.focus({ preventScroll: true });
    };
    const button = make("button", { type: "button", class: "curve", "aria-label": `Curve of ${names.get(trial)}`, onclick: look }, "curve");
    cells[3].querySelector(".id").after(" ", button);
  }
  const [label, field] = select("Curve of", [["", "all trials"], ...names], () => mark(field.value));
  figure.querySelector("svg").parentElement.after(make("div", { class: "controls" }, label));

  let marked = "";

  function mark(trial) {
    if (trial === marked) return;
    marked = trial;
    figure.classList.toggle("has-chosen", trial !== "");
    for (const line of lines) {
      line.classList.toggle("chosen", trialOf(line) === trial);
      if (trialOf(line) === trial) line.parentElement.append(line); // above the others
    }
  }

  function choose(trial) {
    field.value = trial;
    mark(trial);
  }

  for (const line of lines) {
    const near = make("path", { d: line.querySelector("path").getAttribute("d"), class: "near" }); // easier to point at
    line.append(near, make("title", {}, names.get(trialOf(line))));
    line.addEventListener("mousemove", () => mark(trialOf(line))); // not mouseenter, which scrolling causes as well
    line.addEventListener("mouseleave", () => mark(field.value));
    line.addEventListener("click", (event) => {
      event.stopPropagation(); // it is no click on the figure, which would enlarge it
      choose(field.value === trialOf(line) ? "" : trialOf(line));
    });
  }
}

// Photographs with several classes: which classes and whose contours are seen, from a legend to the next one.

function classBox(text, chip, colour, onchange) {
  const input = make("input", { type: "checkbox", checked: true, onchange: () => onchange(input.checked) });
  return make("label", { class: "box" }, input, make("span", { class: chip, style: `--colour: ${colour}` }), text);
}

function classContours(study) {
  const legends = [...study.querySelectorAll(".legend.classes")];
  const isAfter = (a, b) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING;
  legends.forEach((legend, at) => {
    const isIts = (figure) => isAfter(legend, figure) && !(legends[at + 1] && isAfter(legends[at + 1], figure));
    const figures = [...study.querySelectorAll("figure.photograph")].filter(isIts);
    const paths = figures.flatMap((figure) => [...figure.querySelectorAll("path[data-class]")].map((path) => ({ path, own: figure.dataset.own })));
    const variants = new Set(paths.map(({ path }) => path.dataset.variant).filter(Boolean));
    const hidden = new Set();
    const update = () => {
      for (const { path, own } of paths) {
        const { variant, class: place } = path.dataset;
        path.toggleAttribute("hidden", hidden.has(place) || (variant ? variant !== (field.value || own) : hidden.has("reference")));
      }
    };
    const each = legend.dataset.own ? [] : [["", "that of each heading"]];
    const [label, field] = select("Contours of", [...each, ...[...variants].map((name) => [name, name])], update);
    field.value = legend.dataset.own;
    const boxes = [...legend.children].map((entry, i, { length }) => {
      const chip = entry.firstElementChild;
      const key = i < length - 1 ? String(i) : "reference";
      const toggle = (isShown) => (isShown ? hidden.delete(key) : hidden.add(key), update());
      return classBox(entry.textContent, chip.className, chip.style.getPropertyValue("--colour"), toggle);
    });
    legend.after(make("div", { class: "controls" }, label, ...boxes));
  });
}

// The gallery.

const thumbnails = JSON.parse(document.getElementById("thumbnails")?.textContent ?? "{}");
const STEP = 24;

function select(label, options, onchange) {
  const field = make("select", { onchange, "aria-label": label }, ...options.map(([value, text]) => make("option", { value }, text)));
  return [make("label", {}, make("span", {}, label), field), field];
}

function format(value, metric) {
  if (value === null || value === undefined) return "\u2013";
  return value.toFixed(metric.unit ? 2 : 3).replace("-", "\u2212");
}

const COLOURS = 8; // of the style sheet, --c0 to --c7; then they come round again

function explorer(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const colour = (variant) => (variant === "truth" ? "#fff" : `var(--c${data.variants.indexOf(variant) % COLOURS})`);
  const again = (variant) => (data.variants.indexOf(variant) >= COLOURS ? "again" : "");
  const names = ["truth", ...data.variants];
  const classes = data.classes ?? []; // of one structure none: then variants have the colours, and all are seen at once
  const shown = new Set(classes.length ? ["truth", data.baseline] : names);
  const hidden = new Set(); // of the classes
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
  const boxes = (classes.length ? [] : names).map((name) =>
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
      make("span", { class: `chip ${name === "truth" ? "reference" : again(name)}`, style: `--colour: ${colour(name)}` }),
      name === "truth" ? "reference" : name,
    ),
  );
  const [variantLabel, variantField] = select("Contours of", data.variants.map((each) => [each, each]), () => {
    data.variants.forEach((each) => shown.delete(each));
    shown.add(variantField.value);
    draw();
  });
  variantField.value = data.baseline;
  const classColour = (place) => `var(--c${place % COLOURS})`;
  const classBoxes = classes.map((name, place) =>
    classBox(name, "chip", classColour(place), (isShown) => {
      isShown ? hidden.delete(place) : hidden.add(place);
      draw();
    }),
  );
  const referenceBox = classBox("reference", "chip dashed", "currentColor", (isShown) => {
    isShown ? shown.add("truth") : shown.delete("truth");
    draw();
  });
  if (classes.length) boxes.push(variantLabel, ...classBoxes, referenceBox);
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
    metricField.replaceChildren(...known.map((i) => make("option", { value: i }, `${data.metrics[i].label}${data.metrics[i].unit && ` (${data.metrics[i].unit})`}`)));
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

  function contours(image, wanted, filled = false) {
    const pathsOf = (name) => [name === "truth" ? image.truth : (image.paths[name] ?? "")].flat();
    const kind = (name) => (name !== "truth" ? (classes.length ? "" : again(name)) : classes.length ? "dashed" : "reference");
    const drawn = wanted
      .flatMap((name) => pathsOf(name).map((d, place) => ({ d, place, kind: kind(name), colour: classes.length ? classColour(place) : colour(name) })))
      .filter(({ d, place }) => d && !hidden.has(place));
    return [
      // Below every line; that of the reference above the others, which are as white as its line.
      ...[...drawn].reverse().map(({ d, kind }) => make("path", { d, class: `halo ${kind === "reference" ? kind : ""}` })),
      ...drawn.map(({ d, kind, colour }) => make("path", { d, class: kind, style: `--colour: ${colour}; fill: ${filled ? colour : "none"}` })),
    ];
  }

  function draw() {
    const metric = data.metrics[metricField.value];
    const label = `${ofField.value.startsWith("-") ? "difference in mean" : "mean"} ${metric.label}`;
    grid.replaceChildren(
      ...found.slice(0, limit).map(({ image, value }, place) => {
        const layers = contours(image, names.filter((name) => shown.has(name)));
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
  const stage = make("div", { class: "stage" });
  const numbers = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Scores of the image" });
  const view = viewer({
    step: (by) => open((place + by + found.length) % found.length),
    closed: (hasLeft) => hasLeft || grid.children[place]?.focus(),
  });
  view.body.append(
    make("div", { class: "controls" }, leftLabel, rightLabel),
    stage,
    line,
    make("p", { class: "note" }, "Scores: means over a variant's seeds. Contours: of its first."),
    numbers,
  );
  cued(numbers);
  // The line can be drawn along the picture itself, too.
  for (const kind of ["pointerdown", "pointermove"]) {
    stage.addEventListener(kind, (event) => {
      const { left, width } = stage.firstElementChild.getBoundingClientRect();
      if (event.buttons !== 1) return;
      line.value = (100 * (event.clientX - left)) / width;
      divide();
    });
  }
  let place = 0;
  let clips = [];
  const study = root.closest("section").id;
  const linkOf = (image, set = data.evaluations[setField.value]) => imageLink(study, set.name, image.id);

  function open(at) {
    place = at;
    show();
    const { image } = found[place];
    const under = data.evaluations[setField.value].name;
    view.show(+setField.value ? `${image.id}, ${under}` : image.id, place, found.length, linkOf(image));
  }

  followers.push((hash) => {
    const at = data.evaluations.findIndex((set) => set.images.some((image) => linkOf(image, set) === hash));
    if (at < 0) return false;
    [setField.value, metricField.value, ofField.value, search.value] = [at, "", "", ""];
    offer();
    root.scrollIntoView();
    open(found.findIndex(({ image }) => linkOf(image) === hash));
    return true;
  });

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
    const id = `${root.id}-clip`;
    const rects = [0, 1].map(() => make("rect", { y: 0, height: image.h }));
    const bar = make("line", { y1: 0, y2: image.h, class: "bar" });
    clips = [...rects, bar];
    const picture = photograph(image, [
      make("defs", {}, ...rects.map((rect, i) => make("clipPath", { id: `${id}-${i}` }, rect))),
      ...[leftField, rightField].map((field, i) => make("g", { "clip-path": `url(#${id}-${i})` }, ...contours(image, [field.value], true))),
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

function follow() {
  const { hash } = window.location;
  if (hash.includes("-image/") && followers.some((opens) => opens(hash))) return;
  const target = document.getElementById(hash.slice(1));
  if (!target?.hidden) return;
  target.hidden = false; // a row that a filter had left out
  target.scrollIntoView();
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("table:has(.verdicts, .source)").forEach(cards);
document.querySelectorAll(".wide").forEach(cued);
document.querySelectorAll("pre").forEach(copyable);
document.querySelectorAll(".explorer").forEach(explorer);
for (const study of document.querySelectorAll("section.study")) {
  curves(study);
  classContours(study);
  for (const kind of ["plot", "photograph"]) enlarger(study, [...study.querySelectorAll(`figure.${kind}`)]);
}
document.querySelectorAll("nav .menu").forEach(contents);
window.addEventListener("hashchange", follow);
follow();
