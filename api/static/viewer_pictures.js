// Pictures as they are needed: one is fetched at a time and the latest wish wins; the neighbours come while nothing else does.

const MOST_BYTES = 192 * 1024 * 1024; // of memory that pictures are kept in: two mammograms, or 190 slices of a CT
const AHEAD = 4;
const bytesOf = (bitmap) => 4 * bitmap.width * bitmap.height;

export class Pictures {
  /** `onPicture(bitmap, wish)` when what was wished for is here; `onError(error, wish)`. A wish is { image, window }. */
  constructor(web, onPicture, onError) {
    Object.assign(this, { web, onPicture, onError });
    [this.kept, this.bytes, this.drawn, this.wish, this.isBusy, this.ahead] = [new Map(), 0, null, null, false, null];
  }

  /** Show this image under this window (null: the file's own), and get ready for `next`. */
  show(image, window, next) {
    this.wish = { image, window, next };
    const kept = this.take(address(image, window));
    if (kept) { this.give(kept, this.wish); this.wish.isDone = true; }
    this.ahead?.abort();
    if (!this.isBusy) this.work();
  }

  /** Nothing is wished for any more: what is on its way is not shown. */
  forget() {
    [this.wish, this.drawn] = [null, null];
    this.ahead?.abort();
  }

  /** While dragging each step is shown, though another is wished for by now; never after the wish that followed, or of another series. */
  isLate(wish) {
    return wish !== this.wish && (!this.wish || this.wish.isDone || this.wish.image.series !== wish.image.series);
  }

  async work() {
    this.isBusy = true;
    while (this.wish && !this.wish.isDone) {
      const wish = this.wish;
      try {
        const bitmap = await this.fetched(address(wish.image, wish.window));
        wish.isDone = true;
        if (!this.isLate(wish)) this.give(bitmap, wish);
      } catch (error) {
        wish.isDone = true;
        if (wish === this.wish) this.onError(error, wish);
      }
    }
    this.isBusy = false;
    if (this.wish) this.getReady(this.wish);
  }

  /** From here on the page draws this one, again whenever it likes. */
  give(bitmap, wish) {
    this.drawn = bitmap;
    this.onPicture(bitmap, wish);
  }

  /** As many neighbours as have room beside what is shown. */
  async getReady({ window, next }) {
    const ahead = this.ahead = new AbortController();
    const room = this.drawn ? Math.floor(MOST_BYTES / bytesOf(this.drawn)) - 1 : AHEAD;
    try {
      for (const image of next.slice(0, Math.max(0, Math.min(AHEAD, room)))) {
        if (ahead.signal.aborted) return;
        if (!this.kept.has(address(image, window))) await this.fetched(address(image, window), ahead.signal);
      }
    } catch { /* it is asked for again when it is wished for */ }
  }

  async fetched(path, signal) {
    const bitmap = await this.web.picture(path, signal);
    const twin = this.kept.get(path); // it was on its way as a neighbour, and wished for meanwhile
    if (twin) { bitmap.close(); return twin; }
    this.kept.set(path, bitmap);
    this.bytes += bytesOf(bitmap);
    for (const [oldest, picture] of this.kept) {
      if (this.bytes <= MOST_BYTES) break;
      if (picture === this.drawn || picture === bitmap) continue; // the one is drawn, the other is about to be
      this.kept.delete(oldest);
      this.bytes -= bytesOf(picture);
      picture.close();
    }
    return bitmap;
  }

  take(path) {
    const bitmap = this.kept.get(path);
    if (bitmap) { this.kept.delete(path); this.kept.set(path, bitmap); }
    return bitmap;
  }
}

function address(image, window) {
  const frame = image.frames > 1 ? `/frames/${image.frame}` : "";
  const shown = window && !image.isColour ? `?window=${rounded(window.center)},${rounded(window.width)},linear` : "";
  return `${image.path}${frame}/rendered${shown}`;
}

const rounded = (number) => String(Math.round(number * 100) / 100);
