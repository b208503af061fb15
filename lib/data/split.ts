/** Split: the part of a data set that is trained or evaluated on, resident in native memory. */
import { PtmzError } from '../errors.js';
import type { NativeDataset } from '../native.js';

/** Samples of any kind: images ({@link DataSplit}), text ({@link TextSplit}), or the points of a problem. */
export abstract class Split implements Disposable {
  #native: NativeDataset | undefined;

  /** @internal */
  protected constructor(
    /** Number of samples, then the sizes of one. */
    readonly shape: readonly number[],
    /** Labels are below this. */
    readonly classes: number,
    native: NativeDataset,
  ) {
    this.#native = native;
  }

  /** SHA-256 of all that a training sees of these samples. @internal */
  abstract digest(): string;

  /** Number of samples. */
  get count(): number {
    return this.shape[0]!;
  }

  /** @internal */
  get native(): NativeDataset {
    if (!this.#native) throw new PtmzError('DISPOSED', 'this data split has been disposed of');
    return this.#native;
  }

  /** Gives the native memory back; a running job keeps it until it ends. */
  dispose(): void {
    this.#native?.samples?.dispose();
    this.#native?.labels?.dispose();
    this.#native = undefined;
  }
  /** {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
