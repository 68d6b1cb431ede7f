// Requests to the worker, which answers each once, in order.

/** The worker's error: `code` is the key of its message, or "" for an unexpected one. */
export class WorkerError extends Error {
  /** @param {{ code: string, facts: Record<string, string>, message?: string }} error */
  constructor({ code, facts, message }) {
    super(message ?? code);
    this.code = code;
    this.facts = facts;
  }
}

export class WorkerClient {
  /** @param {(share: number) => void} progress */
  constructor(progress) {
    this.worker = new Worker(new URL("../recognition/worker.js", import.meta.url), { type: "module" });
    /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
    this.pending = new Map();
    this.count = 0;
    this.missing = false;
    this.worker.onmessage = ({ data }) => {
      if ("progress" in data) return progress(data.progress);
      const request = this.pending.get(data.id);
      this.pending.delete(data.id);
      if (data.error) request?.reject(new WorkerError(data.error));
      else request?.resolve(data.result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.missing = this.missing || !event.message; // the script itself could not be loaded
      for (const { reject } of this.pending.values()) reject(new WorkerError({ code: "", facts: {}, message: event.message }));
      this.pending.clear();
    };
  }

  /**
   * @param {string} task
   * @param {any} [given]
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>}
   */
  ask(task, given = {}, transfer = []) {
    return new Promise((resolve, reject) => {
      if (this.missing) return reject(new WorkerError({ code: "", facts: {}, message: "the worker is missing" }));
      const id = ++this.count;
      this.pending.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, given }, transfer);
    });
  }
}
