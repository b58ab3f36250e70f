// The viewer of structures: films of frames, offending atoms, and the forces of model and reference as arrows.
"use strict";

(() => {
  const section = document.getElementById("viewer");
  if (!section) return;
  const {element} = longhot;
  const part = name => section.querySelector(`.viewer-${name}`);
  const THOUSANDTHS = 1000;
  const BONDED = 1.3;
  const NEIGHBOURS = 1.2;
  const LONGEST_ARROW_A = 1.8;
  const MOST_ROWS = 12;
  const FRAME_MS = 140;
  const LAST_MS = 900;
  const SMALL_A = 5.5;
  const ASLANT = {x: 0.35, y: 0.25, z: 0.9};
  const DIRECTIONS = 400;
  const RING = "#B34700";
  const ARROWS = {
    reference: {colour: "#0072B2", radius: 0.05, alpha: 1, name: "force by the reference"},
    model: {colour: "#D55E00", radius: 0.08, alpha: 1, name: "force by the model"},
  };

  let content, drawing, groups;
  let film = null;
  let place = 0;
  let timer = null;

  const number = (value, digits = 3) => String(Number(value.toPrecision(digits))).replace("-", "−");
  const frames = () => film.frames.map(index => content.frames[index]);
  const frame = () => content.frames[film.frames[place]];
  const symbols = one => content.systems[one.system].symbols;
  const vectors = flat => {
    const found = [];
    for (let at = 0; at < flat.length; at += 3) {
      found.push({x: flat[at] / THOUSANDTHS, y: flat[at + 1] / THOUSANDTHS, z: flat[at + 2] / THOUSANDTHS});
    }
    return found;
  };
  const plus = (a, b, factor = 1) => ({x: a.x + factor * b.x, y: a.y + factor * b.y, z: a.z + factor * b.z});
  const length = a => Math.hypot(a.x, a.y, a.z);
  const apart = (a, b) => length(plus(a, b, -1));

  // Pairs of bonded atoms; of coarse sites, none of which are bonded, the pairs of nearest neighbours.
  function bonds(one, atoms) {
    const radii = symbols(one).map(symbol => content.radii_A[symbol]);
    const pairs = closer(atoms, (a, b) => BONDED * (radii[a] + radii[b]));
    if (pairs.length || !content.systems[one.system].periodic) return pairs;
    const nearest = atoms.map((atom, a) => Math.min(...atoms.filter((_, b) => b !== a).map(other => apart(atom, other))));
    const usual = nearest.sort((a, b) => a - b)[Math.floor(nearest.length / 2)];
    return closer(atoms, () => NEIGHBOURS * usual);
  }

  function closer(atoms, limit) {
    const pairs = [];
    for (let a = 0; a < atoms.length; a++) {
      for (let b = 0; b < a; b++) if (apart(atoms[a], atoms[b]) < limit(a, b)) pairs.push([a, b]);
    }
    return pairs;
  }

  // Length of the arrow of 1 eV/Å: the longest of the film has a length that suits the picture.
  function arrowLength() {
    const largest = Math.max(0, ...frames().flatMap(one =>
      Object.keys(ARROWS).flatMap(whose => one[whose] ? vectors(one[whose]).map(length) : [])));
    return largest ? 10 ** Number(part("scale").value) * LONGEST_ARROW_A / largest : 0;
  }

  function draw(newView = false) {
    const one = frame();
    if (drawing) {
      const atoms = vectors(one.positions);
      drawing.removeAllModels();
      drawing.removeAllShapes();
      drawing.removeAllLabels();
      drawAtoms(one, atoms);
      if (one.cell) drawCell(vectors(one.cell));
      drawArrows(one, atoms);
      drawOffending(one, atoms);
      if (newView) look();
      drawing.render();
    }
    describe(one);
  }

  // A view from the side on which atoms and arrows cover each other least; a crystal is seen aslant. Of a failure the
  // end counts, and most of all the line between two offending atoms.
  function look() {
    const one = film.kind === "failure" ? frames().at(-1) : frame();
    const atoms = vectors(one.positions);
    const ends = Object.keys(ARROWS).filter(whose => one[whose])
      .flatMap(whose => vectors(one[whose]).map((force, index) => plus(atoms[index], force, arrowLength())));
    const points = one.cell ? atoms : [...atoms, ...ends];
    const middle = points.reduce((sum, point) => plus(sum, point, 1 / points.length), {x: 0, y: 0, z: 0});
    const arms = points.map(point => plus(point, middle, -1));
    const size = Math.max(...arms.map(length)) + 1;
    if (film.offending.length === 2) {
      const [first, second] = film.offending.map(index => atoms[index]);
      arms.push(...Array(points.length).fill(plus(first, second, -1)));
    }
    drawing.setView([0, 0, 0, 0, ...toFront(one.cell ? ASLANT : thinnest(arms))]);
    drawing.zoomTo();
    drawing.zoom(Math.max(1.15, Math.min(2.6, SMALL_A / size)));
  }

  // The direction, of many all over a hemisphere, along which points spread least.
  function thinnest(points) {
    let best = null;
    for (let step = 0; step < DIRECTIONS; step++) {
      const z = (step + 0.5) / DIRECTIONS;
      const turn = 2.399963 * step;
      const along = {x: Math.sqrt(1 - z * z) * Math.cos(turn), y: Math.sqrt(1 - z * z) * Math.sin(turn), z};
      const spread = points.reduce((sum, {x, y, z: depth}) => sum + (x * along.x + y * along.y + depth * along.z) ** 2, 0);
      if (!best || spread < best.spread) best = {spread, along};
    }
    return best.along;
  }

  // The quaternion that turns a direction of the upper hemisphere to the viewer.
  function toFront({x, y, z}) {
    const size = Math.hypot(x, y, z);
    const real = Math.sqrt((1 + z / size) / 2);
    return [y / size / (2 * real), -x / size / (2 * real), 0, real];
  }

  function drawAtoms(one, atoms) {
    const near = atoms.map(() => []);
    for (const [a, b] of bonds(one, atoms)) {
      near[a].push(b);
      near[b].push(a);
    }
    const model = drawing.addModel();
    model.addAtoms(atoms.map((at, index) => ({
      elem: symbols(one)[index], serial: index, bonds: near[index], bondOrder: near[index].map(() => 1), ...at,
    })));
    model.setStyle({}, {stick: {radius: one.cell ? 0.06 : 0.11}, sphere: {scale: one.cell ? 0.22 : 0.27}});
    if (!part("names").checked) return;
    atoms.forEach((at, index) => {
      if (!film.offending.includes(index)) label(`${symbols(one)[index]}${index}`, at, "#1b1f24");
    });
  }

  function label(text, position, fontColor, side = {x: 0, y: 0}) {
    drawing.addLabel(text, {
      position, fontColor, fontSize: 14, backgroundColor: "white", backgroundOpacity: 0.8, inFront: true, screenOffset: side,
    });
  }

  function drawCell([a, b, c]) {
    const none = {x: 0, y: 0, z: 0};
    const edges = drawing.addShape({color: "#808080"});
    for (const [along, first, second] of [[a, b, c], [b, a, c], [c, a, b]]) {
      for (const start of [none, first, second, plus(first, second)]) {
        edges.addCylinder({start, end: plus(start, along), radius: 0.03, fromCap: 1, toCap: 1});
      }
    }
  }

  function drawArrows(one, atoms) {
    const perForce = arrowLength();
    for (const [whose, {colour, radius, alpha}] of Object.entries(ARROWS)) {
      if (!one[whose] || !part(whose).checked) continue;
      const arrows = drawing.addShape({color: colour, alpha});
      vectors(one[whose]).forEach((force, index) => {
        const end = plus(atoms[index], force, perForce);
        if (apart(end, atoms[index]) > 0.05) arrows.addArrow({start: atoms[index], end, radius, radiusRatio: 2.2, mid: 0.75});
      });
    }
    for (const name of [...Object.keys(ARROWS), "scale"]) part(name).disabled = !perForce;
    part("scale-text").textContent = perForce ? `1 Å for ${number(1 / perForce, 2)} eV/Å` : "no forces";
  }

  function drawOffending(one, atoms) {
    if (film.kind !== "failure") return;
    const marked = film.offending.filter(index => index < atoms.length);
    for (const index of marked) {
      drawing.addSphere({center: atoms[index], radius: 0.52, color: RING, alpha: 0.5});
      label(`${symbols(one)[index]}${index}`, atoms[index], RING, {x: 18, y: 24});
    }
    if (marked.length !== 2) return;
    const [start, end] = marked.map(index => atoms[index]);
    drawing.addCylinder({start, end, radius: 0.035, color: RING, dashed: true, dashLength: 0.15, gapLength: 0.12});
    label(`${apart(start, end).toFixed(2)} Å`, plus(start, plus(end, start, -1), 0.5), RING);
  }

  const CHOICES = {even: "even in time", before_failure: "before a failure", highest_spread: "for its high committee spread"};

  function describe(one) {
    const facts = [];
    if (film.note) facts.push(["cause", film.note.replace(/ A\b/g, " Å")]);
    if (one.trajectory) facts.push(["trajectory", one.trajectory]);
    if (one.time_ps !== undefined) facts.push(["time", `${number(one.time_ps, 6)} ps${one.failed ? ": the failed frame" : ""}`]);
    if (one.choice) facts.push(["rechecked", CHOICES[one.choice]]);
    if (one.force_mae !== undefined) facts.push(["force MAE", `${number(one.force_mae, 4)} meV/Å`]);
    if (one.energy_error !== undefined) facts.push(["energy error", `${number(one.energy_error)} meV/atom`]);
    if (one.spread !== undefined) facts.push(["committee spread", `${number(one.spread)} meV/Å`]);
    if (one.kinetic_K !== undefined) facts.push(["kinetic T", `${number(one.kinetic_K)} K`]);
    facts.push(["atoms", String(symbols(one).length)]);
    const list = element("dl", {class: "pairs"});
    for (const [name, text] of facts) list.append(element("dt", {}, name), element("dd", {}, text));
    part("facts").replaceChildren(element("h3", {}, film.label), list, ...forceTable(one));
    const last = film.frames.length - 1;
    part("slider").max = last;
    part("slider").value = place;
    const when = one.time_ps === undefined ? "" : `, ${number(one.time_ps, 6)} ps`;
    part("place").textContent = `${place + 1} of ${last + 1}${when}`;
    part("slider").setAttribute("aria-valuetext", part("place").textContent);
    part("canvas").setAttribute("aria-label", `${film.group}, ${film.label}, frame ${part("place").textContent}. ${film.note}`);
    part("canvas").dataset.key = one.key;
    part("legend").replaceChildren(...legend(one));
  }

  function forceTable(one) {
    const own = one.model && vectors(one.model);
    const truth = one.reference && vectors(one.reference);
    if (!own && !truth) return [];
    const rows = symbols(one).map((symbol, index) => {
      const values = [own?.[index], truth?.[index], own && truth && plus(own[index], truth[index], -1)];
      return {index, name: `${symbol}${index}`, values: values.map(value => value && length(value))};
    });
    const order = own && truth ? 2 : own ? 0 : 1;
    rows.sort((a, b) => b.values[order] - a.values[order]);
    const table = element("table");
    const head = table.createTHead().insertRow();
    for (const text of ["atom", "model", "reference", "error"]) head.append(element("th", {scope: "col"}, text));
    const body = table.createTBody();
    for (const {index, name, values} of rows.slice(0, MOST_ROWS)) {
      const row = body.insertRow();
      const isOffending = film.kind === "failure" && film.offending.includes(index);
      row.append(element("td", isOffending ? {class: "offending"} : {}, name));
      for (const value of values) row.append(element("td", {}, value === undefined ? "–" : value.toFixed(2)));
    }
    const rest = rows.length > MOST_ROWS ? ` The first ${MOST_ROWS} of ${rows.length} atoms.` : "";
    return [table, element("p", {class: "note"}, `Lengths of the forces, and of their difference, in eV/Å.${rest}`)];
  }

  function legend(one) {
    const items = [];
    const item = (drawn, text) => {
      const made = element("li");
      made.innerHTML = `<svg viewBox="0 0 38 16" aria-hidden="true">${drawn}</svg>`;
      made.append(text);
      items.push(made);
    };
    for (const [whose, {colour, radius, name}] of Object.entries(ARROWS)) {
      if (!one[whose]) continue;
      item(`<path d="M2 8H26" stroke="${colour}" stroke-width="${60 * radius}"/><path d="M24 2L37 8L24 14z" fill="${colour}"/>`, name);
    }
    if (film.kind === "failure" && film.offending.length) {
      item(`<circle cx="19" cy="8" r="7" fill="${RING}" fill-opacity=".35" stroke="${RING}"/>`, "offending atom");
    }
    return items;
  }

  function go(to) {
    place = Math.max(0, Math.min(to, film.frames.length - 1));
    longhot.state.set("structure", `${content.films.indexOf(film)}.${place}`);
    draw();
  }

  function open(chosen, at = 0) {
    pause();
    film = chosen;
    fill(part("film"), groups.get(film.group), content.films.indexOf(film));
    part("group").value = film.group;
    place = at;
    longhot.state.set("structure", `${content.films.indexOf(film)}.${place}`);
    draw(true);
  }

  function fill(select, films, chosen) {
    select.replaceChildren(...films.map(one => element("option", {value: content.films.indexOf(one)}, one.label)));
    select.value = chosen;
  }

  function pause() {
    clearTimeout(timer);
    timer = null;
    part("play").textContent = "Play";
    part("facts").setAttribute("aria-live", "polite");
  }

  function play() {
    if (film.frames.length < 2) return;
    part("play").textContent = "Pause";
    part("facts").setAttribute("aria-live", "off");
    const last = film.frames.length - 1;
    const tick = () => {
      go(place === last ? 0 : place + 1);
      timer = setTimeout(tick, place === last ? LAST_MS : FRAME_MS);
    };
    timer = setTimeout(tick, 0);
  }

  function step(by) {
    pause();
    go(place + by);
  }

  function xyz() {
    const one = frame();
    const columns = [["pos", one.positions], ...Object.keys(ARROWS).filter(whose => one[whose]).map(whose => [`${whose}_forces`, one[whose]])];
    const lattice = one.cell ? `Lattice="${one.cell.map(value => value / THOUSANDTHS).join(" ")}" pbc="T T T" ` : "";
    const properties = `Properties=species:S:1${columns.map(([name]) => `:${name}:R:3`).join("")}`;
    const lines = symbols(one).map((symbol, index) => {
      const values = columns.flatMap(([, flat]) => flat.slice(3 * index, 3 * index + 3));
      return [symbol, ...values.map(value => (value / THOUSANDTHS).toFixed(3))].join(" ");
    });
    return `${lines.length}\n${lattice}${properties} key="${one.key}"\n${lines.join("\n")}\n`;
  }

  const fileName = () => frame().key.replace(/[^\w.-]+/g, "-");

  const hasWebGL = () => {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  };

  // Data and library are unpacked when they are first needed.
  let starting = null;
  const start = () => starting ??= begin().catch(error => {
    part("message").textContent = `The structures cannot be shown: ${error.message}`;
    throw error;
  });

  async function begin() {
    part("message").textContent = "Unpacking the structures…";
    content = await longhot.data("structures");
    groups = new Map();
    for (const one of content.films) groups.set(one.group, [...(groups.get(one.group) ?? []), one]);
    part("group").replaceChildren(...[...groups.keys()].map(name => element("option", {value: name}, name)));
    if (hasWebGL()) {
      await longhot.library("3dmol");
      drawing = $3Dmol.createViewer(part("canvas"), {backgroundColor: "white", antialias: true});
      new ResizeObserver(() => { drawing.resize(); drawing.render(); }).observe(part("canvas"));
    }
    listen();
    part("message").textContent = drawing ? "" : "This browser has no WebGL: atoms cannot be drawn, their numbers are beside.";
    const [chosen, at] = (longhot.state.get("structure") ?? "").split(".").map(Number);
    const known = content.films[chosen];
    open(known ?? content.films[0], known && at < known.frames.length ? at : 0);
  }

  function listen() {
    const on = (name, event, work) => part(name).addEventListener(event, work);
    on("group", "change", () => open(groups.get(part("group").value)[0]));
    on("film", "change", () => open(content.films[part("film").value]));
    on("slider", "input", () => { pause(); go(Number(part("slider").value)); });
    on("play", "click", () => timer === null ? play() : pause());
    on("back", "click", () => step(-1));
    on("forth", "click", () => step(1));
    for (const name of ["model", "reference", "names"]) on(name, "change", () => draw());
    on("scale", "input", () => draw());
    on("reset", "click", () => draw(true));
    on("xyz", "click", () => longhot.save(`${fileName()}.xyz`, xyz(), "chemical/x-xyz"));
    on("png", "click", () => {
      if (!drawing) return;
      const bytes = Uint8Array.from(atob(drawing.pngURI().split(",")[1]), letter => letter.charCodeAt(0));
      longhot.save(`${fileName()}.png`, bytes, "image/png");
    });
    on("canvas", "keydown", event => {
      const work = {" ": () => timer === null ? play() : pause(), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
        Home: () => step(-Infinity), End: () => step(Infinity)}[event.key];
      if (!work) return;
      event.preventDefault();
      work();
    });
    // The page scrolls over a picture that was not chosen by a click or tap.
    for (const event of ["wheel", "touchstart", "touchmove"]) {
      part("canvas").addEventListener(event, happened => {
        if (document.activeElement !== part("canvas")) happened.stopPropagation();
      }, {capture: true, passive: true});
    }
    part("canvas").addEventListener("pointerup", () => part("canvas").focus({preventScroll: true}));
  }

  // The structure of a plotted point: with its forces where some film has them.
  longhot.show = async key => {
    await start();
    section.scrollIntoView();
    const order = ["rechecked", "failure", "data", "worst"];
    const found = content.films
      .map(one => [one, one.frames.findIndex(index => content.frames[index].key === key)])
      .filter(([, at]) => at >= 0)
      .sort(([a], [b]) => order.indexOf(a.kind) - order.indexOf(b.kind));
    if (found.length) {
      part("message").textContent = "";
      open(...found[0]);
    } else {
      part("message").textContent = `The page does not keep this frame: ${key}`;
    }
  };

  if (longhot.state.get("structure")) start();
  else new IntersectionObserver((seen, observer) => {
    if (!seen.some(one => one.isIntersecting)) return;
    observer.disconnect();
    start();
  }, {rootMargin: "200px"}).observe(part("canvas"));
})();
