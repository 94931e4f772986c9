// The upload page: what is chosen or dropped goes to Sending, and what becomes of it is shown.
import { ask } from "./upload_line.js";
import { Sending } from "./upload_sending.js";

const MOST_ROWS = 300;
const MOST_PAGES = 20; // of unfinished uploads, 100 each
const WORDS = {
  waiting: "Waiting", reading: "Reading", ready: "Waiting", sending: "Sending",
  stored: "Stored", held: "Held", refused: "Refused", failed: "Failed", skipped: "Left out",
};
const at = (id) => document.getElementById(id);
const page = at("upload");
const orderId = Number(page.dataset.orderId) || null;
const rows = new Map();
const rate = { since: 0, bytes: 0, perSecond: 0 };
let sending;
let isDrawn = true;

const bytesOf = (count) => {
  const units = ["bytes", "KB", "MB", "GB"];
  let unit = 0;
  for (; count >= 1000 && unit < 3; unit++) count /= 1024;
  return `${unit < 2 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
};
const timeOf = (seconds) => (seconds < 60 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`);

/** A row is made for what is of interest, while there are not too many. */
function rowOf(entry) {
  if (!rows.has(entry) && (rows.size < MOST_ROWS || ["held", "refused", "failed"].includes(entry.state))) {
    const row = at("row").content.firstElementChild.cloneNode(true);
    row.querySelector(".sent__name").textContent = entry.name;
    row.querySelector(".sent__size").textContent = bytesOf(entry.size);
    row.querySelector("progress").setAttribute("aria-label", `Sent of ${entry.name}`);
    rows.set(entry, row);
    at("list").append(row);
  }
  return rows.get(entry);
}

function showEntry(entry) {
  const row = rowOf(entry);
  if (row) {
    row.className = `sent__one is-${entry.state}`;
    row.querySelector("progress").value = entry.size ? entry.sent / entry.size : 0;
    const text = entry.said ? `${WORDS[entry.state]}: ${entry.said[0].toLowerCase()}${entry.said.slice(1)}` : WORDS[entry.state];
    const state = row.querySelector(".sent__state");
    if (state.textContent !== text) state.textContent = text;
  }
  if (isDrawn) {
    isDrawn = false;
    setTimeout(() => { isDrawn = true; showAll(); }, 100);
  }
}

function showAll() {
  const { entries } = sending;
  const of = (...states) => entries.filter((entry) => states.includes(entry.state));
  const meant = entries.filter((entry) => entry.state !== "skipped");
  const [size, sent] = [meant.reduce((sum, one) => sum + one.size, 0), meant.reduce((sum, one) => sum + (one.isOver ? one.size : one.sent), 0)];
  const [stored, bad, failed] = [of("stored").length, of("held", "refused", "failed").length, of("failed").length];
  const isOver = entries.every((entry) => entry.isOver);
  at("sending").hidden = false;
  at("total").value = size ? sent / size : 1;
  at("pause").hidden = isOver;
  at("again").hidden = !failed || !isOver;
  measure(sent);
  const left = rate.perSecond && !isOver && !sending.isPaused ? ` · ${bytesOf(rate.perSecond)}/s, about ${timeOf((size - sent) / rate.perSecond)} left` : "";
  at("figures").textContent = `${stored} of ${meant.length} files stored · ${bytesOf(sent)} of ${bytesOf(size)}${left}`;
  const head = !isOver ? (sending.isPaused ? "Paused" : "Sending") : !meant.length ? "Nothing to send" : bad ? `${stored} of ${meant.length} stored, ${bad} not` : `All ${stored} stored`;
  if (at("sending-head").textContent !== head) at("sending-head").textContent = head;
  at("sending").classList.toggle("is-over", isOver);
  at("rest").hidden = entries.length <= rows.size;
  at("rest").textContent = `and ${entries.length - rows.size} more files`;
  at("see-held").hidden = !of("held").length;
  at("done").hidden = !isOver || !(stored || of("held").length);
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
    if (status !== 200) break;
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
  sending = new Sending({ orderId, largest: Number(page.dataset.largest), unfinished, onChange: showEntry, onLine, onHalt });
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
