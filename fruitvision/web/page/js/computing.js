// Asking the worker: each request is answered once, in its order.

/** What the worker could not do: `code` is the key of a sentence, or "" for what nobody foresaw. */
export class WorkerError extends Error {
  /** @param {{ code: string, facts: Record<string, string>, message?: string }} error */
  constructor({ code, facts, message }) {
    super(message ?? code);
    this.code = code;
    this.facts = facts;
  }
}

export class Computing {
  /** @param {(share: number) => void} progress */
  constructor(progress) {
    this.worker = new Worker(new URL("../recognition/worker.js", import.meta.url), { type: "module" });
    /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
    this.waiting = new Map();
    this.count = 0;
    this.missing = false;
    this.worker.onmessage = ({ data }) => {
      if ("progress" in data) return progress(data.progress);
      const asked = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.error) asked?.reject(new WorkerError(data.error));
      else asked?.resolve(data.result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.missing = this.missing || !event.message; // the script itself did not come
      for (const { reject } of this.waiting.values()) reject(new WorkerError({ code: "", facts: {}, message: event.message }));
      this.waiting.clear();
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
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, given }, transfer);
    });
  }
}
