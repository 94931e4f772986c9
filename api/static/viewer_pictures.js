// Pictures as they are needed: one is fetched at a time and the latest wish wins; the neighbours come while nothing else does.

const MOST_KEPT = 60;
const AHEAD = 4;

export class Pictures {
  /** `onPicture(bitmap, wish)` when what was wished for is here; `onError(error, wish)`. A wish is { image, window }. */
  constructor(web, onPicture, onError) {
    Object.assign(this, { web, onPicture, onError });
    [this.kept, this.wish, this.isBusy, this.ahead] = [new Map(), null, false, null];
  }

  /** Show this image under this window (null: the file's own), and get ready for `next`. */
  show(image, window, next) {
    this.wish = { image, window, next };
    const kept = this.take(address(image, window));
    if (kept) { this.onPicture(kept, this.wish); this.wish.isDone = true; }
    this.ahead?.abort();
    if (!this.isBusy) this.work();
  }

  /** Nothing is wished for any more: what is on its way is not shown. */
  forget() {
    this.wish = null;
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
        if (!this.isLate(wish)) this.onPicture(bitmap, wish);
      } catch (error) {
        wish.isDone = true;
        if (wish === this.wish) this.onError(error, wish);
      }
    }
    this.isBusy = false;
    if (this.wish) this.getReady(this.wish);
  }

  async getReady({ window, next }) {
    const ahead = this.ahead = new AbortController();
    try {
      for (const image of next.slice(0, AHEAD)) {
        if (ahead.signal.aborted) return;
        if (!this.kept.has(address(image, window))) await this.fetched(address(image, window), ahead.signal);
      }
    } catch { /* it is asked for again when it is wished for */ }
  }

  async fetched(path, signal) {
    const bitmap = await this.web.picture(path, signal);
    this.kept.set(path, bitmap);
    for (const [oldest, picture] of this.kept) {
      if (this.kept.size <= MOST_KEPT) break;
      this.kept.delete(oldest);
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
