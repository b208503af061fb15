/** Ctrl-C and SIGTERM: the first asks the work to stop in an orderly way, the second ends the process at once. */
import { constants } from 'node:os';
import type { Progress } from './progress.js';

/** Whether a signal came; once that is so and it is disposed of, the process will exit with its code. */
export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
  /** 130 or 143 once a signal came, by the custom of shells. */
  readonly exitCode: number | undefined;
  /** Whether an error only says that work was stopped by the signal. */
  caused(error: unknown): boolean;
}

// npx and npm send the terminal's Ctrl-C on to us, who have had it already: the same one, a few milliseconds later.
const ECHO = 300;

/** Listens until it is disposed of. */
export function listenForInterrupt(onFirst: () => void): Interrupt {
  const controller = new AbortController();
  let exitCode: number | undefined;
  let came = 0;
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((name) => {
    const listener = () => {
      if (exitCode !== undefined && performance.now() - came < ECHO) return;
      if (exitCode !== undefined) process.exit(exitCode);
      came = performance.now();
      exitCode = 128 + constants.signals[name];
      onFirst();
      controller.abort();
    };
    process.on(name, listener);
    return [name, listener] as const;
  });
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    caused: (error) => controller.signal.aborted && error === controller.signal.reason,
    [Symbol.dispose]() {
      if (exitCode !== undefined) process.exitCode = exitCode;
      for (const [name, listener] of listeners) process.off(name, listener);
    },
  };
}

/** The same for a command that shows progress: takes the bar away and says what happens. */
export function stopOnInterrupt(progress: Progress, what: string): Interrupt {
  return listenForInterrupt(() => {
    progress.stop();
    process.stderr.write(`\n${what}; press Ctrl-C again to end at once\n`);
  });
}

/** The end of a command that failed, or that was stopped before there was anything to save. */
export function endEarly(error: unknown, progress: Progress, interrupt: Interrupt): void {
  progress.stop();
  if (!interrupt.caused(error)) throw error;
  process.stderr.write('stopped before the training began\n');
}
