// The light viewer: series beside, one image in the middle; wheel, keys, slider and fingers scroll, dragging sets the window.
import { BORN, Dicomweb, NAME, PATIENT, Refused, STUDY_DATE, STUDY_DESCRIPTION, day, imagesOf, person, seriesOf } from "./viewer_study.js";
import { Pictures } from "./viewer_pictures.js";
import { Mark, Rejected } from "./viewer_rejected.js";
import { Presets, value } from "./viewer_windows.js";

const at = (id) => document.getElementById(id);
const viewer = at("viewer");
const given = new URL(location.href);
const token = given.searchParams.get("token") ?? "";
if (token) history.replaceState(null, "", given.pathname); // it opens the study for whoever reads it over a shoulder

const web = new Dicomweb(viewer.dataset.study, token);
const stage = at("stage");
const canvas = at("canvas");
const context = canvas.getContext("2d");
// `index` and `window` are what is wished for; `drawn` is what is here: { image, window, bitmap }. Words beside a picture are of that one.
const state = { all: [], series: null, index: 0, window: null, zoom: 1, x: 0, y: 0, tool: "window", drawn: null };
const pictures = new Pictures(web, (bitmap, { image, window }) => { state.drawn = { image, window, bitmap }; say(""); describe(); draw(); }, fail);
const rejected = new Rejected(web, () => describe());
const mark = new Mark(at("mark"), stage);
const presets = new Presets(at("presets"));

const say = (text) => { if (at("said").textContent !== text) at("said").textContent = text; };
function fail(error, wish) {
  if (wish && wish.image !== state.drawn?.image) { state.drawn = null; describe(); draw(); } // another image would be taken for this one
  say(error instanceof Refused ? error.message : "The image cannot be shown just now.");
}
const image = () => state.series?.images?.[state.index];
const bounded = (number, low, high) => Math.min(high, Math.max(low, number));

// Drawing --------------------------------------------------------------------------------------------------------------
function draw() {
  const { width, height } = stage.getBoundingClientRect();
  const dense = devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * dense), Math.round(height * dense)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  context.fillStyle = "#000";
  context.fillRect(0, 0, wide, high);
  viewer.dataset.shown = state.drawn ? `${state.drawn.image.series.uid}/${state.drawn.image.index + 1}` : "";
  if (!state.drawn) return;
  const { bitmap } = state.drawn;
  const scale = Math.min(wide / bitmap.width, high / bitmap.height) * state.zoom;
  context.imageSmoothingEnabled = scale < 4;
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  context.drawImage(bitmap, (wide - w) / 2 + state.x * dense, (high - h) / 2 + state.y * dense, w, h);
}

function describe() {
  const { image: one, window } = state.drawn ?? { image: image(), window: state.window };
  for (const name of ["study", "image", "window"]) at(`note-${name}`).textContent = "";
  canvas.setAttribute("aria-label", "No image yet");
  const marked = one ? rejected.of(one) : { kind: "", text: "" };
  mark.show(marked);
  if (!one) return;
  const { of, series } = one;
  const shown = window ?? (one.hasTable ? null : one.own);
  const count = series.images.length;
  at("title").textContent = person(of, NAME) || "No name";
  at("subtitle").textContent = [value(of, PATIENT), day(value(of, STUDY_DATE)), value(of, STUDY_DESCRIPTION)].filter(Boolean).join(" · ");
  document.title = `${value(of, STUDY_DESCRIPTION) ?? "Images"} · labwire`;
  at("note-patient").textContent = [person(of, NAME) || "No name", value(of, PATIENT), day(value(of, BORN)) && `born ${day(value(of, BORN))}`].filter(Boolean).join("\n");
  at("note-study").textContent = [day(value(of, STUDY_DATE)), value(of, STUDY_DESCRIPTION), series.description].filter(Boolean).join("\n");
  at("note-image").textContent = `${series.modality} · image ${one.index + 1} of ${count}${one.frames > 1 ? ` · frame ${one.frame}` : ""}`;
  at("note-window").textContent = `${one.isColour ? "Colour" : shown ? `C ${Math.round(shown.center)}  W ${Math.round(shown.width)}` : one.hasTable ? "Window: the file's table" : "Window: whole"}\n${Math.round(state.zoom * 100)} %`;
  canvas.setAttribute("aria-label", `Image ${one.index + 1} of ${count}, ${series.description || "series without a description"}${marked.text && `. ${marked.text}`}`);
}

function show() {
  const one = image();
  at("slider").value = state.index + 1;
  presets.offer(state.series, one, state.window);
  if (!state.drawn) describe();
  if (!one) return;
  const next = [1, -1, 2, 3].map((step) => state.series.images[state.index + step]).filter(Boolean);
  pictures.show(one, state.window, next);
  rejected.look();
}

// What can be done -----------------------------------------------------------------------------------------------------
function scroll(steps) {
  const last = (state.series?.images?.length ?? 1) - 1;
  const index = bounded(state.index + steps, 0, last);
  if (index !== state.index) { state.index = index; show(); }
}

function setWindow(window) {
  if (window === undefined || !image()) return; // a choice that is not offered, or nothing to choose for yet
  state.window = window;
  show();
}

function zoom(factor) {
  const before = state.zoom;
  state.zoom = bounded(before * factor, 0.25, 20);
  state.x *= state.zoom / before;
  state.y *= state.zoom / before;
  describe();
  draw();
}

function fit() { Object.assign(state, { zoom: 1, x: 0, y: 0 }); describe(); draw(); }

function setTool(tool) {
  state.tool = tool;
  for (const one of document.querySelectorAll("[data-tool]")) one.setAttribute("aria-checked", String(one.dataset.tool === tool));
}

async function open(series) {
  if (!series) return;
  for (const one of at("series").children) one.setAttribute("aria-current", String(one.dataset.uid === series.uid));
  Object.assign(state, { series, index: 0, window: null, zoom: 1, x: 0, y: 0, drawn: null });
  pictures.forget();
  presets.offer(series, null, null);
  describe();
  draw();
  say("Loading …");
  try {
    series.asked ??= imagesOf(web, series); // once, however often it is chosen meanwhile
    series.images = await series.asked;
  } catch (error) {
    series.asked = null;
    if (state.series === series) fail(error);
    return;
  }
  if (state.series !== series) return; // another was chosen meanwhile
  state.index = series.images.length >> 1;
  at("slider").max = Math.max(1, series.images.length);
  at("slider").disabled = series.images.length < 2;
  if (series.images.length) show(); else say("This series has no pictures.");
}

function beside(steps) {
  const index = state.all.indexOf(state.series) + steps;
  if (state.all[index]) { open(state.all[index]); at("series").children[index].scrollIntoView({ block: "nearest", inline: "nearest" }); }
}

// Pointers: one drags, two zoom ------------------------------------------------------------------------------------------
const pointers = new Map();
let rest = 0;
function drag(dx, dy) {
  const one = image();
  if (!one) return;
  if (state.tool === "move") { state.x += dx; state.y += dy; draw(); }
  else if (state.tool === "scroll" || one.isColour) {
    rest += dy / Math.max(4, Math.min(24, stage.clientHeight / state.series.images.length));
    const steps = Math.trunc(rest);
    rest -= steps;
    if (steps) scroll(steps);
  } else {
    const now = state.window ?? one.own ?? one.whole;
    const speed = Math.max(0.5, now.width / 300);
    setWindow({ center: now.center + dy * speed, width: Math.max(1, now.width + dx * speed) });
  }
}
stage.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  stage.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  rest = 0;
});
stage.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  if (pointers.size === 1) drag(event.clientX - before.clientX, event.clientY - before.clientY);
  else {
    const [other] = [...pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    zoom(far(event) / far(before));
  }
  pointers.set(event.pointerId, event);
});
for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => pointers.delete(event.pointerId));
let turned = 0;
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey) { zoom(Math.exp(-event.deltaY / 300)); return; }
  turned += event.deltaMode ? event.deltaY * 33 : event.deltaY;
  const steps = Math.trunc(turned / 33);
  turned -= steps * 33;
  if (steps) scroll(bounded(steps, -3, 3));
}, { passive: false });

// Keys and buttons -------------------------------------------------------------------------------------------------------
const reset = () => { setWindow(null); fit(); };
const toggleText = () => { const isOn = at("text").getAttribute("aria-pressed") !== "true"; at("text").setAttribute("aria-pressed", String(isOn)); stage.classList.toggle("is-bare", !isOn); };
const KEYS = {
  ArrowUp: () => scroll(-1), ArrowDown: () => scroll(1), PageUp: () => scroll(-10), PageDown: () => scroll(10),
  Home: () => scroll(-1e9), End: () => scroll(1e9), ArrowLeft: () => beside(-1), ArrowRight: () => beside(1),
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), f: fit, r: reset, t: toggleText,
  w: () => setTool("window"), s: () => setTool("scroll"), m: () => setTool("move"), "?": () => at("help").showModal(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("help").open || /^(SELECT|INPUT)$/.test(event.target.tagName)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const deed = /^[1-9]$/.test(key) ? () => setWindow(presets.at(Number(key) - 1)) : KEYS[key];
  if (deed) { event.preventDefault(); deed(); }
});
at("slider").addEventListener("input", () => scroll(Number(at("slider").value) - 1 - state.index));
at("presets").addEventListener("change", () => { setWindow(presets.at(Number(at("presets").value))); stage.focus(); });
for (const one of document.querySelectorAll("[data-tool]")) one.addEventListener("click", () => setTool(one.dataset.tool));
for (const [id, deed] of Object.entries({ smaller: () => zoom(0.8), larger: () => zoom(1.25), fit, reset, text: toggleText, "help-open": () => at("help").showModal() })) at(id).addEventListener("click", deed);
new ResizeObserver(draw).observe(stage);
document.addEventListener("visibilitychange", () => { if (!document.hidden) rejected.look(); });

// Begin --------------------------------------------------------------------------------------------------------------------
function entry(series) {
  const button = document.createElement("button");
  const picture = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
  const line = (text, name = "") => Object.assign(document.createElement("span"), { textContent: text, className: name });
  button.type = "button";
  button.dataset.uid = series.uid;
  button.append(picture, line(series.description || "No description"), line(`${series.modality} · ${series.count ?? "?"} image${series.count === 1 ? "" : "s"}`, "small"));
  button.addEventListener("click", () => open(series));
  return [button, picture];
}

async function begin() {
  setTool(matchMedia("(pointer: coarse)").matches ? "scroll" : "window");
  rejected.look();
  try {
    state.all = await seriesOf(web);
  } catch (error) { fail(error); return; }
  if (!state.all.length) { say("There is no such study for you."); return; }
  const made = state.all.map(entry);
  at("series").replaceChildren(...made.map(([button]) => button));
  await open(state.all[0]);
  for (const [index, [, picture]] of made.entries()) {
    try {
      const bitmap = await web.picture(`/series/${state.all[index].uid}/thumbnail`);
      const scale = Math.min(128 / bitmap.width, 128 / bitmap.height);
      picture.getContext("2d").drawImage(bitmap, 64 - (bitmap.width * scale) / 2, 64 - (bitmap.height * scale) / 2, bitmap.width * scale, bitmap.height * scale);
    } catch { /* a series without a picture stays dark */ }
  }
}

begin();
