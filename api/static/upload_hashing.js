// The worker that sums files (upload_hash.js), there from the beginning, for the line may break; made again after it failed.

export class Hashing {
  constructor() {
    [this.worker, this.asked, this.count] = [this.made(), new Map(), 0];
  }

  /** The SHA-256 of a file; "" where it cannot be read, null where the worker did not load or broke down. */
  sum(file) {
    this.worker ??= this.made();
    const number = ++this.count;
    return new Promise((resolve) => {
      this.asked.set(number, resolve);
      this.worker.postMessage({ number, file });
    });
  }

  made() {
    const worker = new Worker(new URL("./upload_hash.js", import.meta.url));
    worker.onmessage = ({ data }) => { this.asked.get(data.number)?.(data.sha256); this.asked.delete(data.number); };
    worker.onerror = worker.onmessageerror = () => {
      worker.terminate();
      this.worker = null;
      for (const resolve of this.asked.values()) resolve(null);
      this.asked.clear();
    };
    return worker;
  }
}
