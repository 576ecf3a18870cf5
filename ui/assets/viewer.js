// The viewer: zoom, move, window and layers, all in the browser. What the reader switched on or off outlives the
// picture; zoom and window belong to it. Sizes are laid out, not transformed, so that outlines stay sharp and thin.
const LARGEST = 8; // screen pixels a pixel of the original, at most
const STEP = 1.25;
const PATIENCE = 20000; // milliseconds until a question that nobody answers counts as failed
const KEPT = ["heat", "outline", "notes", "beside", "opacity", "drag"];

const kept = { heat: true, outline: true, notes: true, beside: true, opacity: 100, drag: "move" };
const fresh = () => ({ zoom: 1, x: 0.5, y: 0.5 });
let tone = { brightness: 0, contrast: 0, invert: false };
let looks = new Map(); // by the view's place: zoom and the middle of what is seen, in 0..1 of the picture
let sources = new Map(); // by the view's place: its grey values, and the levels shown black and white
let asked = []; // what the original's pixels were asked for: an answer that comes late must not fall on another picture
let shownPictures = "";

const all = (selector) => [...element.querySelectorAll(selector)];
const figures = () => all("figure.view").filter((figure) => figure.offsetParent !== null);
const placeOf = (figure) => Number(figure.dataset.place);
const tell = (text, again = false) => {
  const told = element.querySelector(".told");
  if (told) told.textContent = text;
  const button = element.querySelector('[data-do="fetch"]');
  if (button) button.hidden = !again;
};

// ---- where the picture lies in its frame

const measured = (figure) => {
  const frame = figure.querySelector(".frame");
  const style = getComputedStyle(figure);
  const [width, height] = [Number(style.getPropertyValue("--w")), Number(style.getPropertyValue("--h"))];
  const full = Number(figure.dataset.full.split(",")[0]);
  const fit = Math.min(frame.clientWidth / width, frame.clientHeight / height);
  return { frame, width, height, full, fit, most: Math.max(2, (LARGEST * full) / (width * fit)) };
};

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const place = (figure) => {
  const look = looks.get(placeOf(figure));
  const { frame, width, height, full, fit, most } = measured(figure);
  if (!frame.clientWidth || !look) return;
  look.zoom = clamp(look.zoom, 1, most);
  const [w, h] = [width * fit * look.zoom, height * fit * look.zoom];
  const along = (middle, size, room) => (size <= room ? 0.5 : clamp(middle, room / 2 / size, 1 - room / 2 / size));
  look.x = along(look.x, w, frame.clientWidth);
  look.y = along(look.y, h, frame.clientHeight);
  const stack = figure.querySelector(".stack");
  Object.assign(stack.style, {
    width: `${w}px`, height: `${h}px`,
    left: `${frame.clientWidth / 2 - look.x * w}px`, top: `${frame.clientHeight / 2 - look.y * h}px`,
  });
  frame.classList.toggle("zoomed", look.zoom > 1.001);
  const percent = Math.round((100 * w) / full);
  const told = figure.querySelector(".zoom");
  // Announced by screen readers, so only where it has changed.
  if (told.textContent !== `Zoom ${percent} %`) told.textContent = `Zoom ${percent} %`;
  // The shown picture may be smaller than the original: its own pixels are asked for once they could be seen.
  if (full > width && w * devicePixelRatio > 1.05 * width) want(figure);
};

const layOut = () => figures().forEach(place);

const zoomBy = (figure, factor, at) => {
  const look = looks.get(placeOf(figure));
  const { frame, width, height, fit, most } = measured(figure);
  const box = frame.getBoundingClientRect();
  const [dx, dy] = at ? [at.x - box.x - box.width / 2, at.y - box.y - box.height / 2] : [0, 0];
  const before = fit * look.zoom;
  look.zoom = clamp(look.zoom * factor, 1, most);
  const after = fit * look.zoom;
  // The point under the pointer stays where it is.
  look.x += (dx / before - dx / after) / width;
  look.y += (dy / before - dy / after) / height;
  layOut();
};

const moveBy = (figure, dx, dy) => {
  const look = looks.get(placeOf(figure));
  const { width, height, fit } = measured(figure);
  look.x -= dx / (width * fit * look.zoom);
  look.y -= dy / (height * fit * look.zoom);
  layOut();
};

const fullSize = (figure, at) => {
  const { full, width, fit } = measured(figure);
  zoomBy(figure, full / (width * fit) / looks.get(placeOf(figure)).zoom, at);
};

const showBox = (figure, [left, top, right, bottom]) => {
  const { frame, width, height, fit, most } = measured(figure);
  const room = Math.min(frame.clientWidth / ((right - left) * width), frame.clientHeight / ((bottom - top) * height));
  looks.set(placeOf(figure), { zoom: clamp((0.5 * room) / fit, 1, most), x: (left + right) / 2, y: (top + bottom) / 2 });
  layOut();
};

// ---- grey values and their window

const want = (figure) => {
  const source = sources.get(placeOf(figure));
  if (!source || source.asked) return;
  source.asked = true;
  source.failed = false;
  source.waits = true;
  tell("Fetching the original's own pixels …");
  asked.push({ place: placeOf(figure), pictures: shownPictures });
  trigger("download", { index: placeOf(figure), ask: asked.length - 1 });
  setTimeout(() => { if (source.waits) failed(source); }, PATIENCE);
};

// An answer that comes all the same is still shown.
const failed = (source) => {
  if (![...sources.values()].includes(source)) return;
  source.waits = false;
  source.failed = true;
  tell("The original's own pixels could not be fetched, so a smaller picture is shown.", true);
};

const unanswered = () => { for (const source of sources.values()) if (source.waits) failed(source); };

const fetchAgain = () => {
  for (const figure of figures()) {
    const source = sources.get(placeOf(figure));
    if (!source?.failed) continue;
    source.asked = false;
    want(figure);
  }
};

const unpack = async (file) => {
  const answer = await fetch(file.url);
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const bytes = await new Response(answer.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const [width, height, depth, low, high] = new Uint32Array(bytes, 0, 5);
  return { width, height, low, high, values: new (depth === 2 ? Uint16Array : Uint8Array)(bytes, 20), asked: true };
};

const received = async ({ detail: { file, ask } }) => {
  const { place, pictures } = asked[ask] ?? {};
  if (pictures !== shownPictures) return;
  const before = sources.get(place);
  before.waits = false;
  if (!file) {
    before.failed = false;
    tell("The original is no longer held here, so a smaller picture is shown. Drop the file again to see every pixel.");
    return;
  }
  try {
    const source = await unpack(file);
    if (pictures !== shownPictures) return;
    sources.set(place, source);
    tell("");
    paint();
  } catch {
    failed(before);
  }
};

const decoded = (figure) => {
  const source = sources.get(placeOf(figure));
  if (source.values) return true;
  const picture = figure.querySelector("img.radiograph");
  if (!picture || !picture.complete || !picture.naturalWidth) return false;
  const [width, height] = [picture.naturalWidth, picture.naturalHeight];
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.drawImage(picture, 0, 0);
  const colours = pen.getImageData(0, 0, width, height).data;
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = colours[4 * i];
  Object.assign(source, { width, height, low: 0, high: 255, values });
  return true;
};

const table = ({ low, high, values }) => {
  const width = (high - low) / 2 ** (tone.contrast / 50);
  const black = (low + high) / 2 - (tone.brightness / 100) * (high - low) - width / 2;
  const levels = new Uint32Array(values instanceof Uint16Array ? 65536 : 256);
  for (let level = 0; level < levels.length; level++) {
    const grey = Math.round(255 * clamp((level - black) / width, 0, 1));
    levels[level] = 0xff000000 | ((tone.invert ? 255 - grey : grey) * 0x010101);
  }
  return levels;
};

const untouched = () => tone.brightness === 0 && tone.contrast === 0 && !tone.invert;

const draw = (at, group) => {
  const source = sources.get(at);
  const plain = untouched() && !(source.values && source.asked);
  const canvases = group.map((figure) => figure.querySelector("canvas.pixels"));
  const main = group.find((figure) => figure.querySelector("img.radiograph"));
  if (plain || !main || !decoded(main)) {
    for (const canvas of canvases) canvas.hidden = true;
    return;
  }
  if (!untouched() && "deep" in main.dataset) want(main);
  const levels = table(source);
  const image = new ImageData(source.width, source.height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0; i < out.length; i++) out[i] = levels[source.values[i]];
  for (const canvas of canvases) {
    if (canvas.width !== source.width) canvas.width = source.width;
    if (canvas.height !== source.height) canvas.height = source.height;
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.hidden = false;
  }
};

let painting = 0;
const paint = () => {
  cancelAnimationFrame(painting);
  painting = requestAnimationFrame(() => {
    for (const at of sources.keys()) draw(at, all("figure.view").filter((figure) => placeOf(figure) === at));
  });
};

// ---- tools

const show = () => {
  const state = { ...kept, ...tone };
  for (const input of all(".tools input")) {
    if (input.type === "checkbox") input.checked = state[input.name];
    else if (input.type === "radio") input.checked = state[input.name] === input.value;
    else {
      input.value = state[input.name];
      input.nextElementSibling.textContent = input.value;
    }
  }
  for (const name of ["heat", "outline", "notes", "beside"]) element.dataset[name] = kept[name] ? "on" : "off";
  element.dataset.drag = kept.drag;
  element.style.setProperty("--heat", kept.opacity / 100);
};

const set = (name, value) => {
  if (KEPT.includes(name)) kept[name] = value;
  else tone[name] = value;
  show();
  layOut();
  if (!KEPT.includes(name)) paint();
};

const reset = () => {
  Object.assign(kept, { heat: true, outline: true, notes: true, opacity: 100, drag: "move" });
  tone = { brightness: 0, contrast: 0, invert: false };
  for (const at of looks.keys()) looks.set(at, fresh());
  show();
  layOut();
  paint();
};

let last = null; // the view that tools without a pointer act on
const current = () => (last && figures().includes(last) ? last : figures()[0]);

const acts = {
  in: (figure) => zoomBy(figure, STEP),
  out: (figure) => zoomBy(figure, 1 / STEP),
  fit: (figure) => zoomBy(figure, 0),
  full: (figure) => fullSize(figure),
  fetch: fetchAgain,
  reset,
};

// ---- pictures come and go

const arrive = () => {
  // Two views may look alike, so a picture is known by its place as well.
  const pictures = all(".marked").map((one) => placeOf(one) + one.querySelector("img.radiograph").src).join();
  const tools = element.querySelector(".tools");
  if (tools) tools.hidden = !pictures;
  const keys = element.querySelector(".keys");
  if (keys) keys.hidden = !pictures;
  if (pictures !== shownPictures) {
    shownPictures = pictures;
    tone = { brightness: 0, contrast: 0, invert: false };
    const places = all("figure.view").map(placeOf);
    looks = new Map(places.map((at) => [at, fresh()]));
    sources = new Map(places.map((at) => [at, { asked: false }]));
    last = null;
    tell("");
  }
  for (const copy of all("img.copy")) copy.src = element.querySelector("img.radiograph").src;
  for (const [name, part] of [["heat", "img.heat"], ["outline", ".outline"], ["notes", "img.notes"], ["beside", "img.copy"]]) {
    const label = element.querySelector(`.tools [data-for="${name}"]`);
    if (label) label.hidden = !element.querySelector(part);
  }
  const opacity = element.querySelector('.tools [name="opacity"]');
  if (opacity) opacity.closest("label").hidden = !element.querySelector("img.heat");
  for (const box of all(".tools fieldset")) box.hidden = [...box.querySelectorAll("label, button")].every((tool) => tool.hidden);
  show();
  layOut();
  paint();
  for (const frame of all(".frame")) sizes.observe(frame);
};

const sizes = new ResizeObserver(layOut);

// ---- hands

element.addEventListener("input", ({ target }) => {
  const value = target.type === "checkbox" ? target.checked : target.type === "range" ? Number(target.value) : target.value;
  if (target.name) set(target.name, value);
});

element.addEventListener("click", ({ target }) => {
  const tool = target.closest("[data-do]");
  if (tool && current()) acts[tool.dataset.do](current());
  const region = target.closest("button.region");
  if (!region) return;
  const figure = figures().find((one) => one.dataset.place === region.dataset.place);
  showBox(figure, region.dataset.box.split(",").map(Number));
});

element.addEventListener("wheel", (event) => {
  const figure = event.target.closest("figure.view");
  if (!figure || !event.target.closest(".frame")) return;
  event.preventDefault();
  zoomBy(figure, Math.exp(-clamp(event.deltaY * (event.deltaMode === 1 ? 30 : 1), -120, 120) / 400), event);
}, { passive: false });

const pointers = new Map();
element.addEventListener("pointerdown", (event) => {
  const figure = event.target.closest(".frame")?.closest("figure.view");
  if (!figure || event.button > 0) return;
  last = figure;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  figure.querySelector(".frame").setPointerCapture(event.pointerId);
});

element.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before || !last) return;
  const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
  const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
  Object.assign(before, { x: event.clientX, y: event.clientY });
  if (others.length) {
    const span = (x, y) => Math.hypot(x - others[0].x, y - others[0].y) || 1;
    const middle = { x: (event.clientX + others[0].x) / 2, y: (event.clientY + others[0].y) / 2 };
    zoomBy(last, span(event.clientX, event.clientY) / span(event.clientX - dx, event.clientY - dy), middle);
    moveBy(last, dx / 2, dy / 2);
  } else if (kept.drag === "window" || event.shiftKey) {
    tone.brightness = clamp(tone.brightness - dy / 2, -100, 100);
    tone.contrast = clamp(tone.contrast + dx / 2, -100, 100);
    show();
    paint();
  } else moveBy(last, dx, dy);
});

for (const end of ["pointerup", "pointercancel"]) {
  element.addEventListener(end, (event) => pointers.delete(event.pointerId));
}

element.addEventListener("dragstart", (event) => event.preventDefault());
element.addEventListener("focusin", ({ target }) => { last = target.closest("figure.view") ?? last; });

element.addEventListener("keydown", (event) => {
  const frame = event.target.closest(".frame");
  if (!frame || event.ctrlKey || event.altKey || event.metaKey) return;
  const figure = frame.closest("figure.view");
  const [dx, dy] = [frame.clientWidth / 8, frame.clientHeight / 8];
  const keys = {
    "+": () => acts.in(figure), "=": () => acts.in(figure), "-": () => acts.out(figure), "0": () => acts.fit(figure),
    "1": () => fullSize(figure), i: () => set("invert", !tone.invert), h: () => set("heat", !kept.heat),
    o: () => set("outline", !kept.outline), r: reset,
    ArrowLeft: () => moveBy(figure, dx, 0), ArrowRight: () => moveBy(figure, -dx, 0),
    ArrowUp: () => moveBy(figure, 0, dy), ArrowDown: () => moveBy(figure, 0, -dy),
  };
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || (event.key.startsWith("Arrow") && !frame.classList.contains("zoomed"))) return;
  event.preventDefault();
  act();
});

document.addEventListener("osteo-pixels", received);
document.addEventListener("osteo-no-pixels", unanswered);
element.addEventListener("load", layOut, true);
watch("value", arrive);
arrive();
