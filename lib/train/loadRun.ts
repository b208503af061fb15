/** Loading of saved runs. */
import type { DataSet } from '../data/dataset.js';
import type { Split } from '../data/split.js';
import type { WindowSplit } from '../data/windowSplit.js';
import { dataIdentity, type DataIdentity } from '../data/identity.js';
import { findSource, openData } from '../data/registry.js';
import { checkDevice } from '../device.js';
import { checkObject, checkString, PtmzError } from '../errors.js';
import type { Precision } from '../precision.js';
import { modelNamed } from '../models/named.js';
import { checkTrainable, isProblem, type Trainable } from '../models/trainable.js';
import { currentBuild, restore, type Checkpoint, type CheckpointManifest } from './checkpoint.js';
import { newestCheckpoint } from './checkpoints.js';
import type { Run } from './run.js';
import { checkDataSet, prepareSettings } from './trainer.js';

/** What {@link loadRun} takes. */
export interface LoadRunOptions {
  /** The data set of the run; may be left out for `digits()` and `fashionMnist()`. */
  data?: DataSet | DataSet<WindowSplit>;
  /** The model of the run; may be left out for those of this package. */
  model?: Trainable;
  /** Where it goes on: `cpu` (default), `cuda` or `cuda:N`, whichever it was saved on. */
  device?: string;
  /**
   * The precision of products in which it goes on or is measured; default: that of the run. With another one it cannot be
   * saved beside its own checkpoints.
   */
  precision?: Precision;
}

type Stored = CheckpointManifest['model'];

async function dataFor({ name, train, test }: DataIdentity): Promise<DataSet<Split>> {
  const source = findSource(name);
  if (!source)
    throw new PtmzError('INVALID_ARGUMENT', `Expected the data set '${name}' of the run as options.data`, {
      hint: 'Only data sets that are found by their name alone can be left out; on the command line add --data.',
    });
  return openData(source, { train: train.count, test: test?.count });
}

function checkSameData(path: string, stored: DataIdentity, given: DataSet<Split>): void {
  const actual = dataIdentity(given);
  for (const split of ['train', 'test'] as const) {
    if (stored[split]?.sha256 === actual[split]?.sha256) continue;
    const describe = (d: DataIdentity) => {
      const { shape, sha256 } = d[split] ?? {};
      return shape ? `'${d.name}' of shape [${shape.join(',')}], SHA-256 ${sha256!.slice(0, 12)}` : 'none';
    };
    throw new PtmzError(
      'CHECKPOINT_MISMATCH',
      `${path}: the run's data.${split} were ${describe(stored)}, these are ${describe(actual)}`,
      { hint: 'Pass the same samples, labels and normalisation.' },
    );
  }
}

function modelFor({ name, input, classes }: Stored): Trainable {
  const model = modelNamed(name, { input, classes });
  if (model) return model;
  throw new PtmzError('INVALID_ARGUMENT', `Expected the model '${name}' of the run as options.model`, {
    hint: 'Only networks of this package can be left out; the command line opens no others.',
  });
}

function checkSameModel(path: string, stored: Stored, run: Run): void {
  const list = (entries: readonly { name: string; shape: readonly number[] }[]) =>
    entries.map(({ name, shape }) => `${name} [${shape.join(',')}]`);
  for (const kind of ['params', 'buffers'] as const) {
    const [expected, actual] = [list(stored[kind]), list(run.layout[kind])];
    const at = Array.from({ length: Math.max(expected.length, actual.length) }, (_, i) => i).find(
      (i) => expected[i] !== actual[i],
    );
    if (at === undefined) continue;
    throw new PtmzError(
      'CHECKPOINT_MISMATCH',
      `${path}: the run's model '${stored.name}' has ${expected[at] ?? 'no more tensors'} where '${run.model.name}' has ` +
        `${actual[at] ?? 'none'}`,
    );
  }
}

/** The data of the run; undefined for a problem, which has its own. */
async function dataOf(path: string, { data: stored }: CheckpointManifest, model: Trainable, options: LoadRunOptions) {
  if (isProblem(model)) return undefined;
  const given: DataSet<Split> = options.data ? checkDataSet<Split>(options.data) : await dataFor(stored);
  checkSameData(path, stored, given);
  // The name is part of the run's identity; that of a folder of images changes when it is moved.
  return given.name === stored.name ? given : { ...given, name: stored.name };
}

/** What a user should know: where the run comes from, and whether its numbers go on bit for bit. */
function warningsOf({ path, manifest }: Checkpoint, damaged: readonly PtmzError[], run: Run): string[] {
  const warnings = damaged.map(({ message }) => `${message}; going on from ${path}`);
  const build = { ...currentBuild(run.device), precision: run.settings.precision ?? 'float32' };
  // Before there was a choice, all was on the CPU.
  const { device = 'cpu', ...rest } = manifest.build;
  const then = { ...rest, device, precision: manifest.settings.precision ?? 'float32' };
  for (const key of ['device', 'precision', 'simd', 'version', 'compiler', 'blas'] as const) {
    if (build[key] === then[key]) continue;
    const change = `${key} was '${then[key]}' and is '${build[key]}'`;
    warnings.push(`${path}: ${change}; results may differ in the last digits from an uninterrupted run`);
  }
  return warnings;
}

/**
 * Loads the newest whole checkpoint of a run, to measure it or to go on with `run.train()`: the result is the same, bit
 * for bit, as without the interruption. `run.warnings` tells if a damaged checkpoint was passed over, or if another
 * build, SIMD level, precision or kind of device wrote it.
 *
 * @param directory where the run was saved, or one of the checkpoints in it
 * @throws PtmzError `DATA_MISSING` where there is no checkpoint, `CHECKSUM_MISMATCH` where all are damaged,
 * `CHECKPOINT_MISMATCH` for another model or other data, `INVALID_ARGUMENT` where one of these is needed, `UNSUPPORTED` where the
 * device does not have the run's precision, `IO_ERROR`
 * @example
 * ```ts
 * import { mkdtempSync, rmSync } from 'node:fs';
 * import { digits, loadRun, trainResNet } from 'ptmz-native';
 * const directory = mkdtempSync('run-');
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0], saveTo: directory });
 * using same = await loadRun(directory, { data });
 * same.step === run.step; // true
 * rmSync(directory, { recursive: true });
 * ```
 */
export async function loadRun(directory: string, options: LoadRunOptions = {}): Promise<Run> {
  checkString('directory', directory);
  checkObject('options', options, ['data', 'model', 'device', 'precision']);
  const device = checkDevice('device', options.device ?? 'cpu');
  const { checkpoint, damaged } = newestCheckpoint(directory);
  const { path, manifest } = checkpoint;
  const model = checkTrainable(options.model ?? modelFor(manifest.model));
  const data = await dataOf(path, manifest, model, options);
  const { precision = manifest.settings.precision } = options;
  const run = prepareSettings({ ...manifest.settings, ...(precision && { precision }), model, data, device });
  try {
    checkSameModel(path, manifest.model, run);
    if (isProblem(model)) checkSameData(path, manifest.data, run.data);
    restore(run, checkpoint);
    run.warnings = warningsOf(checkpoint, damaged, run);
  } catch (error) {
    run.dispose();
    throw error;
  }
  return run;
}
