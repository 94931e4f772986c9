// The upload page: what is chosen or dropped goes to Sending, and what becomes of it is shown.
import { ask } from "./upload_line.js";
import { Rows, bytesOf } from "./upload_rows.js";
import { Sending } from "./upload_sending.js";

const MOST_PAGES = 20; // of unfinished uploads, 100 each
const at = (id) => document.getElementById(id);
const page = at("upload");
const orderId = Number(page.dataset.orderId) || null;
const rows = new Rows(at("list"), at("row"), at("rest"));
const rate = { since: 0, bytes: 0, perSecond: 0 };
let sending;
let isDrawn = true;

const timeOf = (seconds) => (seconds < 60 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`);

function showEntry(entry) {
  rows.show(entry);
  if (isDrawn) {
    isDrawn = false;
    setTimeout(() => { isDrawn = true; showAll(); }, 100);
  }
}

function showAll() {
  const { entries } = sending;
  const of = (...states) => entries.filter((entry) => states.includes(entry.state));
  const meant = entries.filter((entry) => entry.state !== "skipped" && entry.state !== "left");
  const [size, sent] = [meant.reduce((sum, one) => sum + one.size, 0), meant.reduce((sum, one) => sum + (one.isOver ? one.size : one.sent), 0)];
  const [stored, bad, failed, left] = [["stored"], ["held", "refused", "failed"], ["failed"], ["left"]].map((states) => of(...states).length);
  const isOver = entries.every((entry) => entry.isOver);
  at("sending").hidden = false;
  rows.arrange(entries);
  at("total").value = size ? sent / size : 1;
  at("pause").hidden = isOver;
  at("again").hidden = !failed || !isOver;
  measure(sent);
  const time = rate.perSecond && !isOver && !sending.isPaused ? ` · ${bytesOf(rate.perSecond)}/s, about ${timeOf((size - sent) / rate.perSecond)} left` : "";
  at("figures").textContent = `${stored} of ${meant.length} files stored · ${bytesOf(sent)} of ${bytesOf(size)}${time}`;
  const head = isOver ? headOf({ meant: meant.length, stored, bad, left }) : sending.isPaused ? "Paused" : "Sending";
  if (at("sending-head").textContent !== head) at("sending-head").textContent = head;
  at("sending").classList.toggle("is-over", isOver);
  at("see-held").hidden = !of("held").length;
  at("done").hidden = !isOver || !(stored || of("held").length);
}

/** What came of all of them, none passed over: who reads it may throw the disc away. */
function headOf({ meant, stored, bad, left }) {
  const rest = left ? `, ${left} left out` : "";
  if (!meant) return `Nothing to send${rest}`;
  if (bad) return `${stored} of ${meant} stored, ${bad} not${rest}`;
  return left ? `${stored} stored${rest}` : `All ${stored} stored`;
}

function measure(sent) {
  const now = performance.now();
  if (!rate.since || now - rate.since > 15_000) Object.assign(rate, { since: now, bytes: sent });
  else if (now - rate.since > 1_500) {
    const fresh = Math.max(0, ((sent - rate.bytes) * 1000) / (now - rate.since));
    Object.assign(rate, { since: now, bytes: sent, perSecond: rate.perSecond ? (rate.perSecond + fresh) / 2 : fresh });
  }
}

const sayLine = (text, isBad = false) => {
  at("line").textContent = text;
  at("line").classList.toggle("is-bad", isBad);
};

function pause(isPaused) {
  if (isPaused) sending.pause(); else sending.resume();
  at("pause").textContent = isPaused ? "Go on" : "Pause";
  at("pause").setAttribute("aria-pressed", String(isPaused));
  sayLine("");
  showAll();
}

// Dropped folders are walked through.
async function filesOf(items) {
  const found = [];
  async function walk(entry) {
    if (entry.isFile) found.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); }));
    else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
        if (!some.length) return;
        for (const one of some) await walk(one);
      }
    }
  }
  const tops = items.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]); // before the first await: they go stale
  for (const [entry, file] of tops) {
    if (entry) await walk(entry);
    else if (file) found.push(file);
  }
  return found;
}

async function unfinishedUploads() {
  const found = new Map();
  for (let number = 1; number <= MOST_PAGES; number++) {
    const { status, body } = await ask("GET", `/api/v1/radiology/uploads?state=declared&size=100&page=${number}`);
    if (status !== 200) throw new Error(String(status));
    for (const upload of body.items) found.set(upload.checksum, upload);
    if (number * 100 >= body.total) break;
  }
  return found;
}

function sayUnfinished(unfinished) {
  const count = [...unfinished.values()].filter((one) => !orderId || one.radiology_order_id === orderId).length;
  at("unfinished").hidden = !count;
  at("unfinished").querySelector("p").textContent =
    `${count === 1 ? "One upload is" : `${count} uploads are`} not complete${orderId ? " for this order" : ""}. Choose the same files again to go on: what is here already is not sent twice.`;
}

async function begin() {
  let unfinished = new Map();
  try {
    unfinished = await unfinishedUploads();
  } catch { /* declared again they are found as well */ }
  sayUnfinished(unfinished);
  const onLine = (seconds) => sayLine(seconds ? `The line is broken: next try in ${seconds} s.` : "", seconds > 0);
  const onHalt = (text) => { pause(true); sayLine(text, true); };
  sending = new Sending({ orderId, largest: Number(page.dataset.largest), unfinished, askUnfinished: unfinishedUploads, onChange: showEntry, onLine, onHalt });
  const take = (files) => { if (files.length) { sending.add(files); showAll(); } };

  for (const id of ["files", "folder"]) {
    at(id).addEventListener("change", (event) => { take([...event.target.files]); event.target.value = ""; });
    at(id).disabled = false;
  }
  const drop = at("drop");
  let depth = 0;
  const over = (change) => { depth = Math.max(0, depth + change); drop.classList.toggle("is-over", depth > 0); };
  addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    over(-depth);
    try {
      take(await filesOf([...event.dataTransfer.items].filter((item) => item.kind === "file")));
    } catch {
      sayLine("What was dropped cannot be read.", true);
      at("sending").hidden = false;
    }
  });
  at("pause").addEventListener("click", () => pause(!sending.isPaused));
  at("again").addEventListener("click", () => sending.again());
  addEventListener("beforeunload", (event) => { if (!sending.entries.every((entry) => entry.isOver)) event.preventDefault(); });
  page.dataset.ready = "true";
}

begin();
