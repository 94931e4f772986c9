// Files on their way: sent in parts that can be sent again, small ones together, until each has come to an end.
import { AT_ONCE, Declaring, UPLOADS } from "./upload_declaring.js";
import { Halted, LineBroke, Stopped, ask, saidBy } from "./upload_line.js";

const PART = 4 * 1024 * 1024;
const [SMALL, TOGETHER] = [1024 * 1024, 10]; // files of at most so many bytes go so many in a request, of a part's size in all
const MOST_DAMAGED = 3;

/** All files of the page. `onChange(entry)` after each step of one, `onLine(seconds)` when the line breaks or is back. */
export class Sending extends Declaring {
  together = TOGETHER;

  pause() {
    this.isPaused = true;
    this.stopping.abort();
    this.stopping = new AbortController();
  }

  resume() {
    this.isPaused = false;
    this.line.wake?.();
    this.go();
  }

  again() {
    this.isUnfinishedOld = true;
    for (const entry of this.entries.filter((one) => one.state === "failed")) {
      Object.assign(entry, { state: "waiting", said: "", sent: 0, offset: 0, damaged: 0, id: null });
      this.known.delete(entry.key);
      this.toRead.push(entry);
      this.onChange(entry);
    }
    this.go();
  }

  go() {
    if (!this.isReading) this.readAll();
    while (this.sending < AT_ONCE && this.toSend.length && !this.isPaused) this.sendNext();
  }

  async sendNext() {
    const entries = this.next();
    this.sending++;
    await this.trying(() => this.sendAll(entries), entries);
    this.sending--;
    this.go();
  }

  /** The first that waits, and with a small one those after it that are small, too, as far as they fit into one request. */
  next() {
    const isSmall = ({ about, offset, size }) => about.kind !== "whole" && offset === 0 && size <= SMALL;
    const entries = [this.toSend.shift()];
    let bytes = entries[0].size;
    while (isSmall(entries[0]) && this.toSend.length && isSmall(this.toSend[0]) && entries.length < this.together) {
      if ((bytes += this.toSend[0].size) > PART) break;
      entries.push(this.toSend.shift());
    }
    return entries;
  }

  /** Several together at first; what did not come to an end then goes on by itself, from where its bytes ended. */
  async sendAll(entries) {
    if (entries.length > 1 && entries.every((entry) => entry.offset === 0)) await this.sendTogether(entries);
    for (const entry of entries.filter((one) => !one.isOver)) await (entry.about.kind === "whole" ? this.sendWhole(entry) : this.send(entry));
  }

  /** Until it is done: again and again while the line is broken; put back where it came from when it is stopped. */
  async trying(work, entries, key) {
    try {
      await this.retried(work);
    } catch (error) {
      const left = entries.filter((entry) => !entry.isOver && entry.state !== "ready");
      if (key !== undefined) this.declaring.set(key, entries.filter((entry) => entry.state === "reading"));
      else left.forEach((entry) => { entry.offset = null; entry.state = "ready"; this.toSend.unshift(entry); this.onChange(entry); });
      if (error instanceof Halted) this.onHalt(error.message);
      else if (!(error instanceof Stopped)) left.forEach((entry) => this.end(entry, "failed", "Something went wrong in this page"));
    }
  }

  async retried(work) {
    for (;;) {
      try {
        const done = await work();
        this.line.whole();
        return done;
      } catch (error) {
        if (!(error instanceof LineBroke)) throw error;
        await this.line.broke(error.afterSeconds);
        if (this.isPaused) throw new Stopped();
      }
    }
  }

  async send(entry) {
    const address = `${UPLOADS}/${entry.id}/binary`;
    const { signal } = this.stopping;
    this.begin(entry);
    if (entry.offset === null) {
      const head = await ask("HEAD", address, { signal });
      if (head.status === 404) {
        this.unfinished.delete(entry.sha256);
        return this.end(entry, "failed", "Not known any more");
      }
      entry.offset = Number(head.offset) || 0;
    }
    while (!entry.isOver) {
      const from = entry.offset;
      entry.offset = null; // where it is to be asked for, should the line break now
      const body = await this.part(entry, from);
      if (!body) return;
      const onSent = (count) => { entry.sent = from + count; this.onChange(entry); };
      const headers = { "Content-Type": "application/octet-stream", "Upload-Offset": String(from) };
      const answer = await ask("PATCH", address, { body, headers, signal, onSent });
      this.line.whole();
      await this.took(entry, answer);
    }
  }

  async sendTogether(entries) {
    const { signal } = this.stopping;
    const [form, sent] = [new FormData(), []];
    for (const entry of entries) {
      this.begin(entry);
      entry.offset = null; // as above
      const body = await this.part(entry, 0);
      if (body) form.append(entry.id, new Blob([body])), sent.push(entry);
    }
    if (!sent.length) return;
    const onSent = (count) => {
      for (const entry of sent) {
        entry.sent = Math.max(0, Math.min(count, entry.size));
        count -= entry.size;
        this.onChange(entry);
      }
    };
    const answer = await ask("POST", `${UPLOADS}/binaries`, { body: form, signal, onSent });
    this.line.whole();
    const byId = new Map((answer.body.uploads ?? []).map((one) => [one.id, one]));
    if (!byId.size) this.together = 1; // refused as a whole, perhaps by a proxy for its size: each by itself from now on
    for (const entry of sent) {
      const one = byId.get(entry.id);
      if (one && one.status !== 503) await this.took(entry, { status: one.status, body: one.upload ?? { fields: [{ field: one.field, message: one.error }] } });
    }
  }

  begin(entry) {
    entry.state = "sending";
    this.onChange(entry);
  }

  /** What was said to a part: it has come to an end, or `offset` is where it goes on. */
  async took(entry, { status, body, offset }) {
    if (status === 200 && body.state !== "declared") return this.ended(entry, body);
    if (status === 200) entry.offset = body.received_bytes;
    else if (status === 409 && offset) entry.offset = Number(offset);
    else if (status === 409) return this.ended(entry, (await ask("GET", `${UPLOADS}/${entry.id}`, { signal: this.stopping.signal })).body);
    else if (status === 422 && body.fields?.[0]?.field === "checksum" && ++entry.damaged < MOST_DAMAGED) entry.offset = 0;
    else if (status === 422 && entry.damaged) return this.end(entry, "failed", "Came damaged, or changed on the disk: choose it again");
    else return this.end(entry, status === 500 || status === 404 ? "failed" : "refused", saidBy(body));
    entry.sent = entry.offset;
    this.onChange(entry);
  }

  async part(entry, from) {
    try {
      return await entry.file.slice(from, from + PART).arrayBuffer();
    } catch {
      this.end(entry, "failed", "Cannot be read from the disk any more: choose it again");
      return null;
    }
  }

  ended(entry, upload) {
    this.unfinished.delete(entry.sha256);
    if (upload.state === "stored") return this.end(entry, "stored");
    if (upload.state === "held") return this.end(entry, "held", upload.reason ?? "Held");
    return this.end(entry, "failed", "Given up meanwhile");
  }

  /** A file whose UIDs are not read here goes by the form, in one piece. */
  async sendWhole(entry) {
    this.begin(entry);
    const form = new FormData();
    if (this.orderId) form.append("radiology_order_id", this.orderId);
    form.append("files", entry.file, entry.name);
    const onSent = (count) => { entry.sent = Math.min(count, entry.size); this.onChange(entry); };
    const answer = await ask("POST", "/api/v1/radiology/images", { body: form, signal: this.stopping.signal, onSent });
    const file = answer.body.files?.[0];
    if (!file) return this.end(entry, answer.status === 500 ? "failed" : "refused", saidBy(answer.body));
    if (file.success) return this.end(entry, "stored", file.is_new === false ? "Was here already" : "");
    return this.end(entry, file.is_held ? "held" : "refused", file.error);
  }
}
