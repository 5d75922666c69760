"use strict";

const byId = (id) => document.getElementById(id);
const state = { ends: { a: 0, b: 1 }, path: [], set: [], place: null, floats: null, history: [], newborn: [], choosing: "a" };
let data, session, ort, sprite; // what the page holds: faces and tables, the decoder, its runtime, the faces' pictures

// --- Sets of codes: the moves of pivq.runs.explorer -----------------------------------------------------------------

function shuffled(items) {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// A smooth path from a to b: row t has the shared codes, the first t of b's own and all but the first t of a's own.
function smoothPath(a, b) {
  const inA = new Set(a), inB = new Set(b);
  const common = a.filter((code) => inB.has(code));
  const onlyA = shuffled(a.filter((code) => !inB.has(code))), onlyB = shuffled(b.filter((code) => !inA.has(code)));
  return Array.from({ length: onlyA.length + 1 }, (_, t) => [...common, ...onlyB.slice(0, t), ...onlyA.slice(t)]);
}

// Algorithm 1: the shared codes, and a draw without replacement from those that only one of the two has.
function breed(a, b) {
  const inA = new Set(a), inB = new Set(b);
  const common = a.filter((code) => inB.has(code));
  const rest = shuffled([...a.filter((code) => !inB.has(code)), ...b.filter((code) => !inA.has(code))]);
  return [...common, ...rest.slice(0, a.length - common.length)];
}

const exchanges = (set, place) => data.alternatives[set[place]].filter((code) => !set.includes(code));
const exchanged = (set, place, code) => set.map((other, index) => (index === place ? code : other));

// Exchange up to `count` codes, each time the one that changes the probe's sum most; downwards for a sign of -1.
function edit(set, weights, count, sign) {
  for (let turn = 0; turn < count; turn++) {
    let best = null, gain = 0;
    set.forEach((code, place) => {
      for (const other of exchanges(set, place)) {
        const found = sign * (weights[other] - weights[code]);
        if (found > gain) [best, gain] = [[place, other], found];
      }
    });
    if (!best) break;
    set = exchanged(set, ...best);
  }
  return set;
}

function origin(code) {
  const a = data.codes[state.ends.a].includes(code), b = data.codes[state.ends.b].includes(code);
  return a && b ? "both" : a ? "a" : b ? "b" : "neither";
}

// --- Decoder --------------------------------------------------------------------------------------------------------

async function payload(id) {
  const text = atob(byId(id).textContent.trim());
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}

async function start() {
  const [wasm, runtime, model, text] = await Promise.all(["wasm", "runtime", "decoder", "data"].map(payload));
  data = JSON.parse(new TextDecoder().decode(text));
  const address = URL.createObjectURL(new Blob([runtime], { type: "text/javascript" }));
  ort = await import(address);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1; // several need a server that sends special headers
  session = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
  sprite = new Image();
  sprite.src = data.sprite;
  await sprite.decode();
}

let last = Promise.resolve(); // the runtime takes one set at a time
const made = new Map(), kept = 200; // the latest images by set: of one code's alternatives, all but one are seen again

// The image of a set as floats in [0, 1], channel by channel: 3 × size × size; null if it is no longer wanted.
function decode(set, isStale = () => false) {
  const name = [...set].sort((a, b) => a - b).join(); // a set has no order
  const run = async () => {
    if (isStale()) return null;
    if (!made.has(name)) {
      const codes = new ort.Tensor("int32", Int32Array.from(set), [1, set.length]);
      made.set(name, (await session.run({ codes })).images.data);
      if (made.size > kept) made.delete(made.keys().next().value);
    }
    return made.get(name);
  };
  last = last.then(run, run);
  return last;
}

function draw(canvas, floats) {
  const size = data.size, pixels = new ImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    for (let channel = 0; channel < 3; channel++) pixels.data[4 * i + channel] = Math.round(255 * floats[channel * size * size + i]);
    pixels.data[4 * i + 3] = 255;
  }
  canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function drawFace(canvas, face) {
  const size = data.size;
  canvas.width = canvas.height = size;
  const x = (face % data.columns) * size, y = Math.floor(face / data.columns) * size;
  canvas.getContext("2d").drawImage(sprite, x, y, size, size, 0, 0, size, size);
}

// --- What is shown --------------------------------------------------------------------------------------------------

let wanted = 0; // number of the latest change: pictures of earlier ones are not drawn

async function show(set) {
  const began = performance.now(), mine = ++wanted;
  state.set = set;
  lookAway();
  const origins = set.map(origin);
  set.forEach((code, index) => {
    const chip = byId("chips").children[index];
    chip.textContent = code;
    chip.className = origins[index];
  });
  sayProbe();
  const floats = await decode(set, () => mine !== wanted);
  if (!floats) return;
  state.floats = floats;
  draw(byId("picture"), floats);
  const counts = ["both", "a", "b", "neither"].map((name) => origins.filter((other) => other === name).length);
  explorer.milliseconds = performance.now() - began;
  const neither = counts[3] ? `, in neither: ${counts[3]}` : "";
  byId("status").textContent =
    `Codes in both faces: ${counts[0]}, in a only: ${counts[1]}, in b only: ${counts[2]}${neither}. ` +
    `The picture took ${Math.round(explorer.milliseconds)} ms.`;
}

function change(set) {
  state.history.push(state.set);
  return show(set);
}

function walk(step = 0) {
  for (const name of ["a", "b"]) {
    drawFace(byId(`end-${name}`), state.ends[name]);
    byId(`name-${name}`).textContent = data.ids[state.ends[name]];
  }
  state.path = smoothPath(data.codes[state.ends.a], data.codes[state.ends.b]);
  state.history = [];
  byId("slider").max = state.path.length - 1;
  byId("slider").value = step;
  return show(state.path[Number(byId("slider").value)]);
}

function tile(parent, title, label, action) {
  const button = document.createElement("button"), canvas = document.createElement("canvas");
  canvas.width = canvas.height = data.size;
  button.append(canvas, label);
  button.title = title;
  if (action) button.addEventListener("click", action);
  else button.disabled = true;
  parent.append(button);
  return canvas;
}

const breath = () => new Promise((resolve) => setTimeout(resolve)); // lets the browser draw, and take a click

let asked = 0; // number of the code that was clicked last: the tiles of earlier ones are not drawn

// Forget the code that was clicked: what it was offered for belongs to another set.
function lookAway() {
  asked++;
  state.place = null;
  for (const id of ["about", "offers", "sharing", "sharers"]) byId(id).replaceChildren();
  for (const chip of byId("chips").children) chip.setAttribute("aria-pressed", false);
}

const few = 6; // alternatives that are shown at first, since each image is decoded
let near = null; // place of the code that the pointer is on

// Decode what a click on this code will show.
async function expect(place) {
  near = place;
  const set = state.set;
  for (const other of exchanges(set, place).slice(0, few)) {
    await breath();
    await decode(exchanged(set, place, other), () => near !== place || state.set !== set);
  }
}

// Offer `count` codes in exchange for the one at a place.
async function lookAt(place, count = few) {
  lookAway();
  const mine = asked;
  state.place = place;
  const set = state.set, code = set[place], all = exchanges(set, place).slice(0, data.offered);
  const offered = all.slice(0, count);
  byId("chips").children[place].setAttribute("aria-pressed", true);
  const whose = data.owners ? `of slot ${data.owners[code]}` : "of no slot";
  const kind = data.owners ? "the other codes of its slot" : "codes that seldom share a face with it";
  const none = offered.length ? " (and how much a pixel changes on average)" : ": there are none";
  byId("about").textContent = `Code ${code}, ${whose}. In exchange for it, ${kind}${none}:`;
  byId("sharing").textContent = `${data.uses[code].toLocaleString("en")} of ${data.faces.toLocaleString("en")} held-out faces have code ${code}:`;
  const sharing = data.codes.flatMap((codes, face) => (codes.includes(code) ? [face] : [])).slice(0, data.offered);
  sharing.forEach((face) => drawFace(tile(byId("sharers"), data.ids[face], ""), face));
  const canvases = offered.map((other) => tile(byId("offers"), `code ${other}`, String(other), async () => {
    await change(exchanged(state.set, place, other));
    lookAt(place, count);
  }));
  if (all.length > count) {
    const more = document.createElement("button");
    more.textContent = `${all.length - count} more`;
    more.addEventListener("click", () => lookAt(place, all.length));
    byId("offers").append(more);
  }
  for (const [index, other] of offered.entries()) {
    await breath();
    const floats = await decode(exchanged(set, place, other), () => mine !== asked);
    if (!floats) return;
    draw(canvases[index], floats);
    const change = floats.reduce((sum, value, i) => sum + Math.abs(value - state.floats[i]), 0) / floats.length;
    const button = canvases[index].parentElement;
    button.lastChild.textContent = `${other} · ${(100 * change).toFixed(1)}%`;
    button.title = `code ${other}; a pixel changes by ${(100 * change).toFixed(1)}% on average`;
    button.addEventListener("mouseenter", () => draw(byId("picture"), floats)); // a look before the click
    button.addEventListener("mouseleave", () => draw(byId("picture"), state.floats));
  }
}

let litter = 0; // number of the latest: earlier ones are not drawn to their end

async function showChildren() {
  const mine = ++litter;
  byId("children").replaceChildren();
  const [a, b] = [data.codes[state.ends.a], data.codes[state.ends.b]];
  state.newborn = Array.from({ length: 6 }, () => breed(a, b));
  for (const set of state.newborn) {
    await breath();
    const floats = await decode(set, () => mine !== litter);
    if (!floats) return;
    draw(tile(byId("children"), "show this set", "take", () => change(set)), floats);
  }
}

const weights = () => data.attributes[byId("attribute").value].weights;

function sayProbe() {
  const probe = data.attributes[byId("attribute").value];
  if (!probe) return;
  const sum = state.set.reduce((total, code) => total + probe.weights[code], probe.intercept);
  byId("probe").textContent = `the probe's probability: ${Math.round(100 / (1 + Math.exp(-sum)))} %`;
}

function choose(face) {
  state.ends[state.choosing] = face;
  byId("gallery").close();
  walk();
}

function openGallery(name) {
  state.choosing = name;
  if (!byId("faces").children.length)
    data.codes.forEach((_, face) => drawFace(tile(byId("faces"), data.ids[face], "", () => choose(face)), face));
  byId("gallery").showModal();
}

function save() {
  byId("picture").toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "pivq.png";
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

function surprise() {
  const [a, b] = shuffled(data.codes.keys());
  state.ends = { a, b };
  walk();
}

function connect() {
  byId("model").textContent = data.model;
  byId("count").textContent = data.codes[0].length;
  byId("size").textContent = data.uses.length;
  data.codes[0].forEach((_, place) => {
    const chip = document.createElement("button");
    chip.addEventListener("click", () => lookAt(place));
    chip.addEventListener("pointerenter", () => expect(place));
    chip.addEventListener("pointerleave", () => (near = null));
    byId("chips").append(chip);
  });
  const names = Object.keys(data.attributes);
  byId("edit").hidden = !names.length;
  byId("attribute").append(...names.map((name) => new Option(name.replaceAll("_", " "), name)));
  byId("attribute").addEventListener("change", sayProbe);
  byId("slider").addEventListener("input", () => show(state.path[Number(byId("slider").value)]));
  const actions = {
    reorder: () => walk(byId("slider").value), surprise, save, breed: showChildren,
    undo: () => state.history.length && show(state.history.pop()),
    add: () => change(edit(state.set, weights(), Number(byId("amount").value), 1)),
    remove: () => change(edit(state.set, weights(), Number(byId("amount").value), -1)),
    "pick-a": () => openGallery("a"), "pick-b": () => openGallery("b"),
  };
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
}

const explorer = { state, decode, milliseconds: null, ready: false, failed: "" }; // for tests, and for the curious
window.explorer = explorer;
start().then(connect).then(() => walk()).then(() => (explorer.ready = true)).catch((error) => {
  explorer.failed = String(error);
  byId("status").textContent = `The decoder did not start: ${error}. A browser of 2023 or newer is needed.`;
});
