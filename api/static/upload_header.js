// What a file is, by its content; and of a DICOM file the three UIDs it is declared by. Reads little, and not for ever.

const CHUNK = 64 * 1024;
const MOST_READS = 64; // pieces of a file: one that needs more is sent whole, and the server reads it
const MOST_ELEMENTS = 20_000;
const DEEPEST = 8;
const UNDEFINED = 0xffffffff;
const [ITEM, ITEM_END, SEQUENCE_END] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
const [SYNTAX, IMAGE, STUDY, SERIES] = [0x00020010, 0x00080018, 0x0020000d, 0x0020000e];
const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]); // PS3.5, 7.1.2
const IMPLICIT = "1.2.840.10008.1.2";
const NOT_READ_HERE = new Set(["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]); // big endian, deflated
const UID = /^(?=.{1,64}$)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+$/;

/** A file was built in a way that is not read here. */
class OddFile extends Error {}

/** Pieces of a file where they are needed. */
class Pieces {
  constructor(file) {
    [this.file, this.start, this.view, this.reads] = [file, 0, new DataView(new ArrayBuffer(0)), 0];
  }

  /** The bytes from `offset` on, at least `length` of them. */
  async at(offset, length) {
    if (offset < this.start || offset + length > this.start + this.view.byteLength) {
      if (++this.reads > MOST_READS) throw new OddFile("too long");
      const bytes = await this.file.slice(offset, offset + Math.max(length, CHUNK)).arrayBuffer();
      [this.start, this.view] = [offset, new DataView(bytes)];
    }
    if (offset + length > this.start + this.view.byteLength) throw new OddFile("cut");
    return new DataView(this.view.buffer, offset - this.start, length);
  }

  async text(offset, length) {
    if (length > 1024) throw new OddFile("no UID");
    const view = await this.at(offset, length);
    return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset, length)).replace(/[\0 ]+$/, "");
  }
}

/** Walks over elements, keeping those that are wanted. */
class Walk {
  constructor(pieces) {
    [this.pieces, this.found, this.elements] = [pieces, new Map(), 0];
  }

  async element(offset, isImplicit) {
    if (++this.elements > MOST_ELEMENTS) throw new OddFile("too many elements");
    const head = await this.pieces.at(offset, 8);
    const tag = head.getUint16(0, true) * 0x10000 + head.getUint16(2, true);
    if (isImplicit || tag >= ITEM) return { tag, vr: "", length: head.getUint32(4, true), value: offset + 8 };
    const vr = String.fromCharCode(head.getUint8(4), head.getUint8(5));
    if (!/^[A-Z]{2}$/.test(vr)) throw new OddFile("no VR");
    if (!LONG.has(vr)) return { tag, vr, length: head.getUint16(6, true), value: offset + 8 };
    const longer = await this.pieces.at(offset + 8, 4);
    return { tag, vr, length: longer.getUint32(0, true), value: offset + 12 };
  }

  /** From `offset` as long as the tags are at most `last`; where it ended. */
  async over(offset, last, isImplicit, size) {
    while (offset + 8 <= size) {
      const one = await this.element(offset, isImplicit);
      if (one.tag > last) break;
      if ([SYNTAX, IMAGE, STUDY, SERIES].includes(one.tag)) this.found.set(one.tag, await this.pieces.text(one.value, one.length));
      offset = await this.after(one, isImplicit, 0);
    }
    return offset;
  }

  async after(one, isImplicit, depth) {
    if (one.length !== UNDEFINED) return one.value + one.length;
    if (depth > DEEPEST) throw new OddFile("too deep");
    const isInnerImplicit = isImplicit || one.vr === "UN"; // PS3.5, 6.2.2
    let offset = one.value;
    for (;;) {
      const item = await this.element(offset, isInnerImplicit);
      if (item.tag === SEQUENCE_END) return item.value;
      if (item.tag !== ITEM) throw new OddFile("no item");
      offset = item.length === UNDEFINED ? await this.inside(item.value, isInnerImplicit, depth) : item.value + item.length;
    }
  }

  async inside(offset, isImplicit, depth) {
    for (;;) {
      const one = await this.element(offset, isImplicit);
      if (one.tag === ITEM_END) return one.value;
      offset = await this.after(one, isImplicit, depth + 1);
    }
  }
}

/**
 * `{ kind: "dicom", study, series, image }`, `{ kind: "picture", mime }`, `{ kind: "whole" }` for a DICOM file that only
 * the server can read, `{ kind: "none" }` for what is no image.
 */
export async function readHeader(file) {
  const start = new Uint8Array(await file.slice(0, 132).arrayBuffer());
  const begins = (...bytes) => bytes.every((byte, index) => start[index] === byte);
  if (begins(0xff, 0xd8, 0xff)) return { kind: "picture", mime: "image/jpeg" };
  if (begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return { kind: "picture", mime: "image/png" };
  if (String.fromCharCode(...start.slice(128)) !== "DICM") return { kind: "none" };
  try {
    const walk = new Walk(new Pieces(file));
    const offset = await walk.over(132, 0x0002ffff, false, file.size);
    const syntax = walk.found.get(SYNTAX) ?? "";
    if (!syntax || NOT_READ_HERE.has(syntax)) return { kind: "whole" };
    await walk.over(offset, SERIES, syntax === IMPLICIT, file.size);
    const [study, series, image] = [STUDY, SERIES, IMAGE].map((tag) => walk.found.get(tag) ?? "");
    return [study, series, image].every((uid) => UID.test(uid)) ? { kind: "dicom", study, series, image } : { kind: "whole" };
  } catch (error) {
    if (error instanceof OddFile) return { kind: "whole" };
    throw error;
  }
}
