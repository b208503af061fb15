/** What the trainings of this package's networks share: taking a network's options out of those of its training. */
import { checkObject } from '../errors.js';
import type { DataSet } from '../data/dataset.js';
import type { Model } from '../models/model.js';
import { checkDataSet } from './trainer.js';

/** The network's options that are given, by their keys, and all others. @internal */
export function takeNetwork<Network extends object, Options extends object>(
  options: Options,
  keys: readonly (keyof Network & keyof Options)[],
): { network: Network; rest: Omit<Options, keyof Network> } {
  checkObject('options', options);
  const own = new Set<PropertyKey>(keys);
  const entries = Object.entries(options);
  return {
    network: Object.fromEntries(entries.filter(([key, value]) => own.has(key) && value !== undefined)) as Network,
    rest: Object.fromEntries(entries.filter(([key]) => !own.has(key))) as Omit<Options, keyof Network>,
  };
}

/** What images decide of their network. @internal */
export function imageShape(data: DataSet): Pick<Model, 'input' | 'classes'> {
  const { shape, classes } = checkDataSet(data).train;
  const [, channels, height, width] = shape;
  return { input: [channels, height, width], classes };
}
