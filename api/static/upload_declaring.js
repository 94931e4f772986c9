// Files before they are sent: each is read and summed, then declared with others of its study.
import { Hashing } from "./upload_hashing.js";
import { readHeader } from "./upload_header.js";
import { Line, ask, saidBy } from "./upload_line.js";

export const UPLOADS = "/api/v1/radiology/uploads";
export const AT_ONCE = 3;
const PICTURES = ""; // the study of files that name none
const BATCH = 100; // files of one declaration at most; the first ones are small, so that sending begins soon
const NO_IMAGES = /^(DICOMDIR|Thumbs\.db|desktop\.ini|\..*)$/i;

/** One file: `state` is waiting, reading, ready, sending, stored, held, refused, failed, left (no image) or skipped (twice). */
export class Entry {
  constructor(file) {
    [this.file, this.name, this.size] = [file, file.name, file.size];
    [this.state, this.said, this.sent, this.offset, this.damaged] = ["waiting", "", 0, 0, 0];
    [this.id, this.about, this.sha256] = [null, null, ""];
  }

  get isOver() { return ["stored", "held", "refused", "failed", "left", "skipped"].includes(this.state); }
}

/** What a page has chosen, as far as it is declared: Sending (upload_sending.js) goes on with what is `ready`. */
export class Declaring {
  /** `unfinished`: by SHA-256 what was declared before; `askUnfinished()` gives the same as it is now. */
  constructor({ orderId, largest, unfinished, askUnfinished, onChange, onLine, onHalt }) {
    Object.assign(this, { orderId, largest, unfinished, askUnfinished, onChange, onHalt });
    [this.entries, this.toRead, this.toSend, this.declaring] = [[], [], [], new Map()];
    [this.known, this.isPaused, this.isReading, this.sending, this.step] = [new Map(), false, false, 0, 1];
    this.line = new Line(onLine);
    this.stopping = new AbortController();
    [this.hashing, this.isUnfinishedOld] = [new Hashing(), false];
  }

  add(files) {
    this.isUnfinishedOld = true;
    for (const file of files) {
      if (NO_IMAGES.test(file.name)) continue;
      const entry = new Entry(file);
      this.entries.push(entry);
      if (!file.size) this.end(entry, "refused", "The file is empty");
      else if (file.size > this.largest) this.end(entry, "refused", "Larger than is accepted");
      else this.toRead.push(entry), this.onChange(entry);
    }
    this.go();
  }

  end(entry, state, said = "") {
    Object.assign(entry, { state, said });
    if (state === "stored" || state === "held") entry.sent = entry.size;
    this.onChange(entry);
  }

  async readAll() {
    this.isReading = true;
    try {
      while (!this.isPaused && (this.toRead.length || this.declaring.size)) {
        const entry = this.toRead.shift();
        if (entry) await this.read(entry);
        const isHungry = !this.toRead.length || (this.toSend.length < AT_ONCE && this.undeclared >= this.step);
        let isIdle = !entry;
        for (const [key, batch] of [...this.declaring]) {
          if (this.isPaused || !(isHungry || batch.length >= BATCH)) continue;
          if (key === PICTURES && this.isAtDicom) continue;
          isIdle = false;
          this.declaring.delete(key);
          this.step = Math.min(2 * this.step, BATCH);
          await this.trying(() => this.declare(batch), batch, key);
        }
        this.go();
        if (isIdle) break; // pictures wait for what is being sent: its end comes back here
      }
    } finally {
      this.isReading = false;
    }
  }

  /** Pictures join the study of their order, so they come last: the first of them would make a study of its own. */
  get isAtDicom() {
    return this.toRead.length + this.toSend.length + this.sending > 0 || [...this.declaring.keys()].some((key) => key !== PICTURES);
  }

  get undeclared() { return [...this.declaring.values()].reduce((sum, batch) => sum + batch.length, 0); }

  async read(entry) {
    entry.state = "reading";
    this.onChange(entry);
    try {
      entry.about = await readHeader(entry.file);
    } catch {
      return this.end(entry, "failed", "Cannot be read from the disk: choose it again");
    }
    const { kind } = entry.about;
    if (kind === "none") return this.end(entry, "left", "No image: neither DICOM, JPEG nor PNG");
    if (kind === "picture" && !this.orderId) return this.end(entry, "refused", "A picture does not say whose it is: choose the order first");
    if (kind === "whole") return this.ready(entry);
    entry.sha256 = await this.hashing.sum(entry.file);
    if (entry.sha256 === null) return this.end(entry, "failed", "A part of this page did not load, so it could not be read");
    if (!entry.sha256) return this.end(entry, "failed", "Cannot be read from the disk: choose it again");
    entry.key = entry.about.image ?? entry.sha256;
    const other = this.known.get(entry.key);
    if (other && other.sha256 !== entry.sha256) return this.end(entry, "refused", `Has the same image UID as ${other.name}, and other content`);
    if (other && !["failed", "refused", "held"].includes(other.state)) return this.end(entry, "skipped", "Chosen twice");
    if (other) this.end(other, "skipped", "Chosen again");
    this.known.set(entry.key, entry);
    const begun = await this.begun(entry);
    if (begun && !this.isOfThisOrder(begun)) {
      const where = begun.radiology_order_id ? `for order ${begun.radiology_order_id}` : "without an order";
      return this.end(entry, "refused", `Begun before ${where}: go on there, or discard it under Uploads and choose it again`);
    }
    if (begun) {
      Object.assign(entry, { id: begun.id, offset: null });
      return this.ready(entry);
    }
    const study = entry.about.study ?? PICTURES;
    this.declaring.set(study, [...(this.declaring.get(study) ?? []), entry]);
  }

  /** The upload of these bytes that is not complete. Before one keeps a file out it is asked for again: it may be gone. */
  async begun(entry) {
    const find = () => {
      const one = this.unfinished.get(entry.sha256);
      return one && (!entry.about.image || one.image_uid === entry.about.image) ? one : null;
    };
    const one = find();
    if (!one || this.isOfThisOrder(one) || !this.isUnfinishedOld) return one;
    try {
      this.unfinished = await this.askUnfinished();
      this.isUnfinishedOld = false;
    } catch { /* then by what was known */ }
    return find();
  }

  isOfThisOrder(upload) { return (upload.radiology_order_id ?? "") === (this.orderId ?? ""); }

  async declare(batch) {
    const images = batch.map((entry) => ({
      filename: entry.name.slice(-200), file_size: entry.size, checksum: entry.sha256,
      ...(entry.about.kind === "picture" ? { mime_type: entry.about.mime } : { image_uid: entry.about.image, series_uid: entry.about.series }),
    }));
    const study = batch[0].about.study;
    const given = { ...(study && { study_uid: study }), ...(this.orderId && { radiology_order_id: this.orderId }), images };
    const answer = await ask("POST", UPLOADS, { body: JSON.stringify(given), headers: { "Content-Type": "application/json" } });
    if (answer.status === 201) {
      answer.body.uploads.forEach((upload, index) => {
        batch[index].id = upload.id;
        if (upload.state === "stored") return this.end(batch[index], "stored", "Was here already");
        if (upload.state === "held") return this.ended(batch[index], upload);
        batch[index].offset = upload.received_bytes ? null : 0;
        this.ready(batch[index]);
      });
    } else if (batch.length > 1) { // one of them is the reason: halves, until it stands alone
      const middle = batch.length >> 1;
      await this.retried(() => this.declare(batch.slice(0, middle)));
      await this.retried(() => this.declare(batch.slice(middle)));
    } else {
      this.end(batch[0], answer.status === 500 ? "failed" : "refused", saidBy(answer.body));
    }
  }

  ready(entry) {
    entry.state = "ready";
    this.toSend.push(entry);
    this.onChange(entry);
  }
}
