/** trainGPT2: language models on windows of tokens, trained as nanoGPT and the published zoo do. */
import type { DataSet } from '../data/dataset.js';
import type { WindowSplit } from '../data/windowSplit.js';
import { gpt2, type GPT2Options } from '../models/gpt2.js';
import { takeNetwork } from './network.js';
import type { Run } from './run.js';
import { checkDataSet, prepare, train, type TrainJobOptions, type TrainOptions } from './trainer.js';

/** The options of {@link gpt2} that the data do not decide. */
export type GPT2Network = Omit<GPT2Options, 'vocab' | 'block'>;
/** What {@link trainGPT2} takes: the network, and any setting of {@link TrainOptions} that should differ. */
export type TrainGPT2Options = GPT2Network &
  Omit<TrainOptions, 'model' | 'data'> & {
    /** See {@link text} and {@link TokenSplit.windows}; vocabulary and length of the windows are the network's. */
    data: DataSet<WindowSplit>;
  };

/**
 * Published: AdamW, peak rate 6e-4, decay 0.1, OneCycle. Of nanoGPT: betas, clipping, and decay of matrices alone.
 * @internal
 */
export const gpt2Defaults = {
  lr: 6e-4,
  optimizer: { kind: 'adamw', betas: [0.9, 0.95], weightDecay: 0.1 },
  schedule: { kind: 'onecycle', cycleMomentum: false },
  decay: 'matrices',
  clip: 1,
} as const;

/**
 * Trains a population of GPT-2s with AdamW (betas 0.9 and 0.95, decay 0.1 of matrices), OneCycle up to 6e-4 and
 * gradients of norm 1 at most.
 *
 * @returns the run, with losses per token; dispose of it
 * @throws PtmzError `INVALID_ARGUMENT` naming the option, `OUT_OF_MEMORY`; with an aborted signal it rejects with
 * `signal.reason`
 * @example
 * ```ts
 * import { text, trainGPT2 } from 'ptmz-native';
 * const tokens = Array.from({ length: 400 }, (_, i) => (i * i) % 7);
 * const data = text({ tokens, block: 8, test: 0.1 });
 * using run = await trainGPT2({ dim: 16, heads: 2, depth: 1, data, batchSize: 8, epochs: 2, seeds: [0] });
 * run.history.at(-1)?.testLoss;
 * ```
 */
export async function trainGPT2(options: TrainGPT2Options & TrainJobOptions): Promise<Run> {
  return train(withModel(options));
}

/** As {@link trainGPT2}, without starting: `run.train()` does that and can be aborted and continued. */
export function prepareGPT2(options: TrainGPT2Options): Run {
  return prepare(withModel(options));
}

function withModel<T extends TrainGPT2Options>(options: T) {
  const { network, rest } = takeNetwork<GPT2Network, T>(options, [
    ...(['dim', 'heads', 'depth', 'bias', 'tied', 'approximate', 'dropout'] as const),
  ]);
  const { train: split } = checkDataSet(options.data);
  const { optimizer, ...defaults } = gpt2Defaults;
  return {
    ...defaults,
    // Beside another optimizer's name its own defaults hold.
    ...(typeof options.optimizer === 'string' ? {} : { optimizer }),
    ...rest,
    model: gpt2({ ...network, vocab: split.classes, block: split.block }),
  };
}
