/** trainMLP: multi-layer perceptrons on images. */
import type { DataSet } from '../data/dataset.js';
import { mlp, type MLPOptions } from '../models/mlp.js';
import type { Run } from './run.js';
import { asResNetZoo } from './trainResNet.js';
import { prepare, train, type TrainJobOptions, type TrainOptions } from './trainer.js';

/** The options of {@link mlp} that the data do not decide. */
export type MLPNetwork = Omit<MLPOptions, 'input' | 'classes'>;
/** What {@link trainMLP} takes: the network, and any setting of {@link TrainOptions} that should differ. */
export type TrainMLPOptions = MLPNetwork & Omit<TrainOptions, 'model' | 'data'> & { data: DataSet };

/**
 * Trains a population of multi-layer perceptrons as the ResNet zoos were trained: SGD with OneCycle up to 0.1
 * and weight decay 5e-4.
 *
 * @returns the run; dispose of it
 * @throws PtmzError `INVALID_ARGUMENT` naming the option, `OUT_OF_MEMORY`; with an aborted signal it rejects with
 * `signal.reason`
 * @example
 * ```ts
 * import { digits, trainMLP } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainMLP({ hidden: [30, 15], activation: 'tanh', data, batchSize: 50, epochs: 2, seeds: [0, 1, 2] });
 * run.history.at(-1)?.testAccuracy; // one number per member
 * ```
 */
export async function trainMLP(options: TrainMLPOptions & TrainJobOptions): Promise<Run> {
  return train(withModel(options));
}

/** As {@link trainMLP}, without starting: `run.train()` does that and can be aborted and continued. */
export function prepareMLP(options: TrainMLPOptions): Run {
  return prepare(withModel(options));
}

const withModel = <T extends TrainMLPOptions>(options: T) =>
  asResNetZoo<MLPNetwork, T>(options, ['hidden', 'activation', 'dropout', 'bias'], mlp);
