// Asks the board every few seconds, and not while nobody looks.

const PATIENCE = 8000; // for one answer
const FAILED = new Set([400, 404, 409]); // with a document that says why

/**
 * Calls `told(document, whether somebody logged in)`, `refused(status)`, `failed(status, document)` where the board
 * answers and cannot tell, or `away(when it was last there)`; `every` so many milliseconds.
 */
export class Poll {
  constructor({ address, every, told, refused, failed, away }) {
    Object.assign(this, { address, every, told, refused, failed, away, last: null, timer: null, asking: null });
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.now()));
    window.addEventListener("online", () => this.now());
  }

  /** Ask now, and from now on. */
  async now() {
    this.pause();
    const asking = new AbortController();
    this.asking = asking;
    const patience = setTimeout(() => asking.abort(), PATIENCE);
    let status = 0;
    let fault = null;
    try {
      const answer = await fetch(this.address(), { signal: asking.signal, credentials: "same-origin" });
      status = answer.status;
      if (answer.ok) {
        const found = await answer.json();
        this.last = Date.now();
        this.told(found, answer.headers.get("Canario-Login") === "cookie");
      } else if (FAILED.has(status)) fault = await answer.json();
    } catch {
      status = 0;
    } finally {
      clearTimeout(patience);
    }
    if (this.asking !== asking) return; // a newer question is on its way, or nobody looks
    if (status === 401 || status === 403) return this.refused(status);
    if (fault) this.failed(status, fault);
    else if (status !== 200) this.away(this.last);
    if (!document.hidden) this.timer = setTimeout(() => this.now(), this.every);
  }

  /** Ask no more until `now`. */
  pause() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.asking = null;
  }
}
