// Where frames come from: events, else asking every two seconds. Whoever shows them
// is told how fresh they are, so that an ambassador that is gone never looks well.

const pollEvery = 2000;
// A frame comes each second. Later than this, something is wrong.
const lateAfter = 3500;
const retryFirst = 2000;
const retryMost = 30000;

export class Feed {
  // onFrame gets each frame, onState one of live, polling, disconnected.
  constructor(onFrame, onState) {
    this.onFrame = onFrame;
    this.onState = onState;
    this.heard = performance.now();
    this.state = "connecting";
    this.retry = retryFirst;
  }

  start() {
    this.listen();
    setInterval(() => this.look(), 500);
  }

  // silence is for how long nothing was heard, in seconds.
  get silence() {
    return (performance.now() - this.heard) / 1000;
  }

  listen() {
    this.source?.close();
    this.opened = performance.now();
    this.source = new EventSource("feed");
    this.source.addEventListener("frame", (event) => {
      this.retry = retryFirst;
      this.stopPolling();
      this.take(JSON.parse(event.data), "live");
    });
    // Its own way to come back takes no account of a server that is full.
    this.source.onerror = () => this.fallBack();
  }

  fallBack() {
    this.source?.close();
    this.source = null;
    this.listenAt = performance.now() + this.retry;
    this.retry = Math.min(this.retry * 2, retryMost);
    if (!this.polling) {
      this.polling = setInterval(() => this.poll(), pollEvery);
      this.poll();
    }
  }

  stopPolling() {
    clearInterval(this.polling);
    this.polling = null;
  }

  async poll() {
    if (this.asking) return;
    this.asking = true;
    try {
      const answer = await fetch("frame", { cache: "no-store", signal: AbortSignal.timeout(lateAfter) });
      if (!answer.ok) throw new Error(answer.statusText);
      const frame = await answer.json();
      if (this.polling) this.take(frame, "polling");
    } catch {
      this.failed = true;
      this.look();
    } finally {
      this.asking = false;
    }
  }

  take(frame, state) {
    this.heard = performance.now();
    this.failed = false;
    this.tell(state);
    this.onFrame(frame);
  }

  // look finds out that nothing came, and tries events again from time to time.
  look() {
    const now = performance.now();
    if (this.source && now - Math.max(this.heard, this.opened) > lateAfter) this.fallBack();
    if (!this.source && now > this.listenAt && this.state === "polling") this.listen();
    if (now - this.heard > lateAfter || (this.failed && !this.source)) this.tell("disconnected");
  }

  tell(state) {
    if (this.state === state) return;
    this.state = state;
    this.onState(state);
  }
}
