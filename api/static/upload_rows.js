// The list of files: some rows at a time of thousands, what needs a person first, then what is on its way.

const MOST_ROWS = 200;
const STEP = 100; // rows that come in for as many that go, when the list is scrolled to an end of what is shown
const RANKS = { held: 0, refused: 0, failed: 0, left: 1, sending: 2, reading: 3, ready: 3, waiting: 3, stored: 4, skipped: 4 };
const WORDS = {
  waiting: "Waiting", reading: "Reading", ready: "Waiting", sending: "Sending",
  stored: "Stored", held: "Held", refused: "Refused", failed: "Failed", left: "Left out", skipped: "Left out",
};

export const bytesOf = (count) => {
  const units = ["bytes", "KB", "MB", "GB"];
  let unit = 0;
  for (; count >= 1000 && unit < 3; unit++) count /= 1024;
  return `${unit < 2 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
};

export class Rows {
  /** `list` is scrolled, `template` holds a row, `rest` says which rows of how many are shown. */
  constructor(list, template, rest) {
    Object.assign(this, { list, template, rest });
    [this.rows, this.entries, this.from] = [new Map(), [], 0];
    list.addEventListener("scroll", () => this.scrolled(), { passive: true });
    list.addEventListener("keydown", (event) => this.key(event));
  }

  /** What became of one, where its row is shown. */
  show(entry) {
    const row = this.rows.get(entry);
    if (!row) return;
    row.className = `sent__one is-${entry.state}`;
    row.querySelector("progress").value = entry.size ? entry.sent / entry.size : 0;
    const text = entry.said ? `${WORDS[entry.state]}: ${entry.said[0].toLowerCase()}${entry.said.slice(1)}` : WORDS[entry.state];
    const state = row.querySelector(".sent__state");
    if (state.textContent !== text) state.textContent = text;
  }

  /** All of them, in the order they have now; who has scrolled keeps seeing what is seen. */
  arrange(entries, isScrolled = this.list.scrollTop >= 1) {
    const ranks = [[], [], [], [], []];
    for (const entry of entries) ranks[RANKS[entry.state]].push(entry);
    this.entries = ranks.flat();
    this.from = Math.max(0, Math.min(this.from, this.entries.length - MOST_ROWS));
    const wanted = this.entries.slice(this.from, this.from + MOST_ROWS);
    const kept = new Set(wanted);
    const seen = isScrolled ? this.seen(kept) : null; // at the top what comes first is to be seen
    for (const [entry, row] of this.rows) if (!kept.has(entry)) { row.remove(); this.rows.delete(entry); }
    wanted.forEach((entry, index) => {
      if (!this.rows.has(entry)) { this.rows.set(entry, this.made(entry)); this.show(entry); }
      const row = this.rows.get(entry);
      if (this.list.children[index] !== row) this.list.insertBefore(row, this.list.children[index] ?? null);
      row.setAttribute("aria-posinset", this.from + index + 1);
      row.setAttribute("aria-setsize", this.entries.length);
    });
    if (seen) this.list.scrollTop += seen.row.offsetTop - seen.top;
    this.rest.hidden = this.entries.length <= MOST_ROWS;
    this.rest.textContent = `Files ${this.from + 1} to ${this.from + wanted.length} of ${this.entries.length}: scroll the list for the others`;
  }

  /** The first row in sight that stays, and where it is. */
  seen(kept) {
    const { scrollTop } = this.list;
    for (const [entry, row] of this.inOrder()) {
      if (kept.has(entry) && row.offsetTop + row.offsetHeight > this.list.offsetTop + scrollTop) return { row, top: row.offsetTop };
    }
    return null;
  }

  *inOrder() {
    const byRow = new Map([...this.rows].map(([entry, row]) => [row, entry]));
    for (const row of this.list.children) yield [byRow.get(row), row];
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.list;
    if (scrollTop < clientHeight) this.move(-STEP);
    else if (scrollTop + clientHeight > scrollHeight - clientHeight) this.move(STEP);
  }

  move(step) {
    const from = Math.max(0, Math.min(this.from + step, this.entries.length - MOST_ROWS));
    if (from === this.from) return;
    this.from = from;
    this.arrange(this.entries, true);
  }

  /** Home and End lead to the ends of all files, not of what is shown of them. */
  key(event) {
    if (event.key !== "Home" && event.key !== "End") return;
    event.preventDefault();
    const isEnd = event.key === "End";
    this.move(isEnd ? this.entries.length : -this.entries.length);
    this.list.scrollTop = isEnd ? this.list.scrollHeight : 0;
  }

  made(entry) {
    const row = this.template.content.firstElementChild.cloneNode(true);
    row.querySelector(".sent__name").textContent = entry.name;
    row.querySelector(".sent__size").textContent = bytesOf(entry.size);
    row.querySelector("progress").setAttribute("aria-label", `Sent of ${entry.name}`);
    return row;
  }
}
