/** trainCNN: small convolutional networks. */
import type { DataSet } from '../data/dataset.js';
import { cnn, type CNNOptions } from '../models/cnn.js';
import type { Run } from './run.js';
import { asResNetZoo } from './trainResNet.js';
import { prepare, train, type TrainJobOptions, type TrainOptions } from './trainer.js';

/** The options of {@link cnn} that the data do not decide. */
export type CNNNetwork = Omit<CNNOptions, 'input' | 'classes'>;
/** What {@link trainCNN} takes: the network, and any setting of {@link TrainOptions} that should differ. */
export type TrainCNNOptions = CNNNetwork & Omit<TrainOptions, 'model' | 'data'> & { data: DataSet };

/**
 * Trains a population of small convolutional networks as the ResNet zoos were trained: SGD with OneCycle up to 0.1
 * and weight decay 5e-4.
 *
 * @returns the run; dispose of it
 * @throws PtmzError `INVALID_ARGUMENT` naming the option, `OUT_OF_MEMORY`; with an aborted signal it rejects with
 * `signal.reason`
 * @example
 * ```ts
 * import { arrays, trainCNN } from 'ptmz-native';
 * const images = Uint8Array.from({ length: 40 * 28 * 28 }, (_, i) => (i * 37) % 256);
 * const labels = Array.from({ length: 40 }, (_, i) => i % 2);
 * const data = arrays({ images, shape: [40, 1, 28, 28], labels });
 * using run = await trainCNN({ size: 'small', data, batchSize: 20, epochs: 1, seeds: [0, 1] });
 * run.history[0]?.trainLoss; // one number per member
 * ```
 */
export async function trainCNN(options: TrainCNNOptions & TrainJobOptions): Promise<Run> {
  return train(withModel(options));
}

/** As {@link trainCNN}, without starting: `run.train()` does that and can be aborted and continued. */
export function prepareCNN(options: TrainCNNOptions): Run {
  return prepare(withModel(options));
}

const withModel = <T extends TrainCNNOptions>(options: T) =>
  asResNetZoo<CNNNetwork, T>(options, ['size', 'activation', 'dropout'], cnn);
