// Requests over a line that may break: told apart by what is to be done about them.

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;

/** Nothing came through, or the server has no time: the same again, later. */
export class LineBroke extends Error {
  constructor(afterSeconds = 0) { super("line"); this.afterSeconds = afterSeconds; }
}
/** The person at the page has to do something before anything goes on. */
export class Halted extends Error {}
/** Paused, or the page is left. */
export class Stopped extends Error {}

/** The page's CSRF token, where htmx has it from too. */
const csrf = JSON.parse(document.body.getAttribute("hx-headers") ?? "{}");

/** One request. `{ status, body, offset }` for an answer that is about the request itself. */
export function ask(method, address, { body = null, headers = {}, signal, onSent } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open(method, address);
    for (const [name, value] of Object.entries({ ...csrf, Accept: "application/json", ...headers })) request.setRequestHeader(name, value);
    request.responseType = "text";
    if (onSent) request.upload.onprogress = (event) => onSent(event.loaded);
    request.onerror = () => reject(new LineBroke());
    request.onabort = () => reject(new Stopped());
    request.onload = () => {
      const { status } = request;
      const after = Number(request.getResponseHeader("Retry-After")) || 0;
      if ([408, 429, 502, 503, 504].includes(status)) reject(new LineBroke(after));
      else if (status === 401) reject(new Halted("You are signed out. Sign in, load this page again and choose the files again: what is here already is not sent twice."));
      else if (status === 403) reject(new Halted("The page is out of date, or your roles changed. Load it again and choose the files again."));
      else resolve({ status, body: parsed(request.responseText), offset: request.getResponseHeader("Upload-Offset") });
    };
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    if (signal?.aborted) { reject(new Stopped()); return; }
    signal?.addEventListener("abort", stop);
    request.send(body);
  });
}

const parsed = (text) => {
  try { return text ? JSON.parse(text) : {}; } catch { return {}; }
};

/** What an error answer says. */
export const saidBy = (body) => {
  const text = body.fields?.[0]?.message ?? body.error ?? "refused";
  return text[0].toUpperCase() + text.slice(1);
};

/** Knows whether the line is broken; who has to wait waits here. `onChange(seconds)`: 0 where it is whole again. */
export class Line {
  constructor(onChange) {
    [this.failures, this.onChange, this.wake, this.waiting] = [0, onChange, null, null];
    addEventListener("online", () => this.wake?.());
  }

  whole() {
    if (this.failures) this.onChange(0);
    this.failures = 0;
  }

  /** Wait for the next try: all who wait try together, each time later than before. */
  async broke(afterSeconds = 0) {
    this.waiting ??= this.rest(afterSeconds).finally(() => { this.waiting = null; });
    await this.waiting;
  }

  async rest(afterSeconds) {
    const wait = Math.min(FIRST_WAIT * 2 ** this.failures++, LONGEST_WAIT) * (0.75 + Math.random() / 2);
    const until = Date.now() + Math.max(wait, afterSeconds * 1000);
    let isAwake = false;
    await new Promise((resolve) => {
      const tick = () => {
        const left = until - Date.now();
        if (left <= 0 || isAwake) { resolve(); return; }
        this.onChange(Math.ceil(left / 1000));
        setTimeout(tick, Math.min(left, 250));
      };
      this.wake = () => { isAwake = true; };
      tick();
    });
    this.wake = null;
  }
}
