/** Ctrl-C and SIGTERM: the first asks the work to stop in an orderly way, the second ends the process at once. */
import { constants } from 'node:os';

export interface Interrupt extends Disposable {
  readonly signal: AbortSignal;
  /** 130 or 143 once a signal came, by the custom of shells. */
  readonly exitCode: number | undefined;
}

/** Listens until it is disposed of. */
export function listenForInterrupt(onFirst: () => void): Interrupt {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((name) => {
    const listener = () => {
      if (exitCode !== undefined) process.exit(exitCode);
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
    [Symbol.dispose]() {
      for (const [name, listener] of listeners) process.off(name, listener);
    },
  };
}
