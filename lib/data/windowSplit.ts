/** WindowSplit: a text cut into windows, wherever its tokens lie - what a language model is trained on. */
import { checkInteger, unexpected } from '../errors.js';
import type { NativeDataset } from '../native.js';
import { Split } from './split.js';

const most = 2 ** 31 - 1;

/** How many windows of `block` tokens, and the ones that follow them, a text has. @internal */
export function countWindows(tokens: number, block: number, stride: number): number {
  const count = Math.floor((tokens - 1 - block) / stride) + 1;
  if (count > most) throw unexpected('stride', `one that gives at most ${most} windows`, `${stride}: ${count} windows`);
  return count;
}

/** Windows of a text: inputs are `block` tokens, `stride` further on from one window to the next; targets one further. */
export abstract class WindowSplit extends Split {
  /** @internal */
  protected constructor(
    count: number,
    readonly block: number,
    readonly stride: number,
    vocab: number,
    source: Pick<NativeDataset, 'samples' | 'file'>,
  ) {
    super([count, block], vocab, {
      ...source,
      labels: null,
      ...{ count, channels: 1, plane: block, mean: [], deviation: [], window: block, stride },
    });
  }
}

/** The sizes of windows, checked. @internal */
export function checkWindows(options: { block: number; stride?: number }): { block: number; stride: number } {
  const block = checkInteger('block', options.block, 1, most);
  return { block, stride: checkInteger('stride', options.stride ?? block, 1, most) };
}
