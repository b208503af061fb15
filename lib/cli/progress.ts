/** Live progress on stderr: a bar on a terminal, a line every few seconds elsewhere. */
import cliProgress from 'cli-progress';
import { formatDuration } from './table.js';

/** One piece of work after the other, each shown with its part done and the expected time to its end. */
export interface Progress {
  begin(title: string): void;
  /** `fraction` from 0 to 1; `eta` in seconds; `details` are short facts such as a loss. */
  update(fraction: number, eta: number, details: string): void;
  end(summary: string): void;
  /** Prints lines of their own; a bar makes way for them and comes back with the next update. */
  note(text: string): void;
  /** Takes the bar away, until the next piece of work begins. */
  stop(): void;
}

/** Since a time of `performance.now()`. */
export const secondsSince = (began: number): number => (performance.now() - began) / 1000;

const LINE_INTERVAL = 5000;

class Bar implements Progress {
  readonly #bar = new cliProgress.SingleBar({
    format: '{title} [{bar}] {percentage}%  {left} left  {details}',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    stream: process.stderr,
    fps: 10,
  });
  #title = '';
  // cli-progress draws a stopped bar again when it is updated.
  #state: 'shown' | 'hidden' | 'stopped' = 'stopped';

  begin(title: string): void {
    this.#title = title;
    this.#show();
  }
  #show(): void {
    this.#state = 'shown';
    this.#bar.start(1000, 0, { title: this.#title, left: '?', details: '' });
  }
  update(fraction: number, eta: number, details: string): void {
    if (this.#state === 'stopped') return;
    if (this.#state === 'hidden') this.#show();
    this.#bar.update(Math.floor(1000 * fraction), { left: formatDuration(eta), details });
  }
  end(summary: string): void {
    this.stop();
    process.stderr.write(`${this.#title}: ${summary}\n`);
  }
  note(text: string): void {
    if (this.#state === 'shown') {
      this.#bar.stop();
      this.#state = 'hidden';
    }
    process.stderr.write(`${text}\n`);
  }
  stop(): void {
    if (this.#state === 'shown') this.#bar.stop();
    this.#state = 'stopped';
  }
}

class Lines implements Progress {
  #printed = 0;

  begin(title: string): void {
    this.#printed = performance.now();
    process.stderr.write(`${title}\n`);
  }
  update(fraction: number, eta: number, details: string): void {
    if (performance.now() - this.#printed < LINE_INTERVAL) return;
    this.#printed = performance.now();
    process.stderr.write(`  ${Math.floor(100 * fraction)} %, ${formatDuration(eta)} left, ${details}\n`);
  }
  end(summary: string): void {
    process.stderr.write(`  ${summary}\n`);
  }
  note(text: string): void {
    process.stderr.write(`${text}\n`);
  }
  stop(): void {}
}

export function createProgress(): Progress {
  return process.stderr.isTTY ? new Bar() : new Lines();
}
