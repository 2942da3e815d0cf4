/** Shows what a set-up is doing: one changing line on a terminal, a line at start, end and every ten seconds elsewhere. */

const TERMINAL_INTERVAL_MS = 200;
const LOG_INTERVAL_MS = 10_000;

export class Progress {
  #running = new Map();
  #isTerminal = process.stderr.isTTY === true;
  #timer = setInterval(
    () => this.#show(),
    this.#isTerminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS,
  );

  /** Runs a step under a name; `note` changes what is said about it. */
  async step(name, work) {
    const state = { startedMs: Date.now(), note: '' };
    this.#running.set(name, state);
    if (!this.#isTerminal) process.stderr.write(`${name} …\n`);
    try {
      await work((note) => (state.note = note));
      this.#line(`${name}: done in ${elapsed(state)}`);
    } finally {
      this.#running.delete(name);
    }
  }

  close() {
    clearInterval(this.#timer);
    if (this.#isTerminal) process.stderr.write('\r\u001b[K');
  }

  #show() {
    const parts = [...this.#running].map(
      ([name, state]) => `${name} ${elapsed(state)}${state.note === '' ? '' : ` (${state.note})`}`,
    );
    if (parts.length === 0) return;
    if (!this.#isTerminal) return void process.stderr.write(`${parts.join('; ')}\n`);
    const width = process.stderr.columns ?? 80;
    process.stderr.write(`\r\u001b[K${parts.join('; ').slice(0, width - 1)}`);
  }

  #line(text) {
    process.stderr.write(this.#isTerminal ? `\r\u001b[K${text}\n` : `${text}\n`);
  }
}

function elapsed({ startedMs }) {
  return `${Math.round((Date.now() - startedMs) / 1000)} s`;
}
