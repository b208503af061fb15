/** trainResNet: residual networks, trained as those of the published zoos. */
import type { DataSet } from '../data/dataset.js';
import type { Model } from '../models/model.js';
import { resnet, type ResNetOptions } from '../models/resnet.js';
import { imageShape, takeNetwork } from './network.js';
import type { Run } from './run.js';
import { prepare, train, type TrainJobOptions, type TrainOptions } from './trainer.js';

/** The options of {@link resnet} that the data do not decide. */
export type ResNetNetwork = Omit<ResNetOptions, 'input' | 'classes'>;
/** What {@link trainResNet} takes: the network, and any setting of {@link TrainOptions} that should differ. */
export type TrainResNetOptions = ResNetNetwork & Omit<TrainOptions, 'model' | 'data'> & { data: DataSet };

/** Of the ResNet zoos: OneCycle up to 0.1; SGD has cycled momentum and weight decay 5e-4 on every parameter. @internal */
export const resnetDefaults = { lr: 0.1, schedule: 'onecycle' } as const;
/** @internal */
export const resnetDecay = { weightDecay: 5e-4 } as const;

/**
 * The settings of a network of images that is trained as those of the ResNet zoos, but for what the options say.
 *
 * @param keys the options that are the network's
 * @internal
 */
export function asResNetZoo<Network extends object, T extends Network & Partial<TrainOptions> & { data: DataSet }>(
  options: T,
  keys: readonly (keyof Network & keyof T)[],
  build: (network: Network & Pick<Model, 'input' | 'classes'>) => Model,
) {
  const { network, rest } = takeNetwork<Network, T>(options, keys);
  const defaults = options.optimizer === undefined ? { ...resnetDefaults, ...resnetDecay } : resnetDefaults;
  return { ...defaults, ...rest, model: build({ ...network, ...imageShape(options.data) }) };
}

const withModel = <T extends TrainResNetOptions>(options: T) =>
  asResNetZoo<ResNetNetwork, T>(options, ['depth', 'width', 'stem'], resnet);

/** As {@link trainResNet}, without starting: `run.train()` does that and can be aborted and continued. */
export function prepareResNet(options: TrainResNetOptions): Run {
  return prepare(withModel(options));
}

/**
 * Trains a population of ResNets as the model zoos were trained: SGD with OneCycle (peak 0.1, momentum 0.95 to 0.85 and
 * back), weight decay 5e-4 on every parameter, uniform Kaiming initialisation.
 *
 * @returns the run; dispose of it
 * @throws PtmzError `INVALID_ARGUMENT` naming the option, `OUT_OF_MEMORY`; with an aborted signal it rejects with
 * `signal.reason`
 * @example
 * ```ts
 * import { digits, hessianTrace, trainResNet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 2, seeds: [0, 1, 2] });
 * const { trace, standardError } = await hessianTrace(run, data.train, { probes: 4 });
 * ```
 */
export async function trainResNet(options: TrainResNetOptions & TrainJobOptions): Promise<Run> {
  return train(withModel(options));
}
