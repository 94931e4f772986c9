// Images that are not to be used: marked beside the picture, asked for again while somebody looks.
import { Refused } from "./viewer_study.js";

const FRESH = 60_000; // ms that an answer is good for
const [FIRST_WAIT, LONGEST_WAIT] = [2_000, 60_000]; // ms until the next try where none came

export class Rejected {
  /** `onChange()` when something else is known. */
  constructor(web, onChange) {
    Object.assign(this, { web, onChange });
    [this.notes, this.isKnown, this.failures, this.isAsking, this.due] = [new Map(), false, 0, false, 0];
  }

  /** Ask, where it is time to. Where no answer comes, notes that were told stay: none is ever taken back. */
  async look() {
    if (this.isAsking || performance.now() < this.due) return;
    this.isAsking = true;
    try {
      this.notes = await this.web.rejected();
      [this.isKnown, this.failures, this.due] = [true, 0, performance.now() + FRESH];
    } catch (error) {
      const wait = Math.min(FIRST_WAIT * 2 ** this.failures++, LONGEST_WAIT);
      [this.isKnown, this.due] = [false, performance.now() + wait];
      if (!(error instanceof Refused)) setTimeout(() => this.look(), wait + 1); // nobody need touch the page for it
    }
    this.isAsking = false;
    this.onChange();
  }

  /** `{ kind, text }` for the mark of an image: "rejected", "unknown", or "" where there is nothing to say. */
  of(image) {
    const note = this.notes.get(image.uid);
    if (note !== undefined) return { kind: "rejected", text: `Not to be used: ${note}` };
    if (this.isKnown) return { kind: "", text: "" };
    return { kind: "unknown", text: this.failures ? "Not known just now whether this image may be used" : "Looking whether this image may be used …" };
  }
}

/** Shows marks in an element above the picture; one too long for its place can be scrolled there. */
export class Mark {
  constructor(element, stage) {
    Object.assign(this, { element, stage });
    for (const kind of ["pointerdown", "wheel"]) element.addEventListener(kind, (event) => event.stopPropagation(), { passive: true });
  }

  show({ kind, text }) {
    const { element, stage } = this;
    if (element.textContent === text && stage.dataset.mark === kind) return;
    [element.textContent, stage.dataset.mark, element.scrollTop] = [text, kind, 0];
    element.classList.toggle("is-long", element.scrollHeight > element.clientHeight + 1);
  }
}
