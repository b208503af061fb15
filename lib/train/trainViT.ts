/** trainViT: vision transformers, trained as those of the published zoos. */
import type { DataSet } from '../data/dataset.js';
import { vit, type ViTOptions } from '../models/vit.js';
import { imageShape, takeNetwork } from './network.js';
import type { Run } from './run.js';
import { prepare, train, type TrainJobOptions, type TrainOptions } from './trainer.js';

/** The options of {@link vit} that the data do not decide. */
export type ViTNetwork = Omit<ViTOptions, 'input' | 'classes'>;
/** What {@link trainViT} takes: the network, and any setting of {@link TrainOptions} that should differ. */
export type TrainViTOptions = ViTNetwork & Omit<TrainOptions, 'model' | 'data'> & { data: DataSet };

/** Published: AdamW, peak rate 6e-3, OneCycle. The decay is that of CIFAR-10. @internal */
export const vitDefaults = { lr: 6e-3, optimizer: { kind: 'adamw', weightDecay: 5e-4 }, schedule: 'onecycle' } as const;

/**
 * Trains a population of vision transformers with AdamW and OneCycle up to 6e-3, its first beta running from 0.95 to
 * 0.85 and back, and weight decay 5e-4.
 *
 * @returns the run; dispose of it
 * @throws PtmzError `INVALID_ARGUMENT` naming the option, `OUT_OF_MEMORY`; with an aborted signal it rejects with
 * `signal.reason`
 * @example
 * ```ts
 * import { digits, trainViT } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainViT({ dim: 12, depth: 2, patch: 4, data, batchSize: 50, epochs: 1, seeds: [0, 1] });
 * run.history[0]?.testAccuracy; // one number per member
 * ```
 */
export async function trainViT(options: TrainViTOptions & TrainJobOptions): Promise<Run> {
  return train(withModel(options));
}

/** As {@link trainViT}, without starting: `run.train()` does that and can be aborted and continued. */
export function prepareViT(options: TrainViTOptions): Run {
  return prepare(withModel(options));
}

function withModel<T extends TrainViTOptions>(options: T) {
  const { network, rest } = takeNetwork<ViTNetwork, T>(options, [
    ...(['dim', 'patch', 'depth', 'heads', 'mlpRatio', 'activation', 'classToken', 'dropout'] as const),
  ]);
  // Beside another optimizer's name its own defaults hold.
  const defaults = typeof options.optimizer === 'string' ? { schedule: vitDefaults.schedule } : vitDefaults;
  return { ...defaults, ...rest, model: vit({ ...network, ...imageShape(options.data) }) };
}
