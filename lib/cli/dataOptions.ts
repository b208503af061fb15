/** `--data` and what belongs to it: the options of every command that reads images, and reading them with progress. */
import type { Command } from 'commander';
import type { DataSet } from '../data/dataset.js';
import { dataSources, openData, parseDataSpec, specPattern, type DataSpec } from '../data/registry.js';
import { helpSection } from './command.js';
import { integer } from './options.js';
import { secondsSince, type Progress } from './progress.js';

/** What the options give. */
export interface DataOptions {
  data?: string;
  trainSamples?: number;
  testSamples?: number;
  imageSize?: number;
}

/** Their keys. */
export const dataKeys = ['data', 'trainSamples', 'testSamples', 'imageSize'] as const;

/** A data set of the command line, checked but not read. */
export interface ChosenData {
  spec: DataSpec;
  train?: number;
  test?: number;
  size?: number;
}

/** Adds the options; `purpose` says what `--data` is for. */
export function addDataOptions(command: Command, purpose: string): Command {
  return command
    .optionsGroup('Data:')
    .option('--data <spec>', `${purpose}; data sets are listed below`)
    .option('--train-samples <n>', 'training images: a fixed subset with equal numbers of all classes', integer(1))
    .option('--test-samples <n>', 'test images, in the same way', integer(1))
    .option('--image-size <pixels>', 'of image-folder: side to which images are brought', integer(1))
    .addHelpText('after', describeSources());
}

function describeSources(): string {
  const rows = Object.entries(dataSources).map(([name, { description, counts }]) => {
    const size = counts ? `; ${counts.map((n) => n.toLocaleString('en')).join(' + ')} images` : '';
    return [specPattern(name), `${description}${size}`] as const;
  });
  return helpSection('Data sets', rows);
}

/**
 * The data set that the options name; the counts may stand in `saved`, what an earlier command was given.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 */
export function chooseData(options: DataOptions, saved: DataOptions = {}): ChosenData | undefined {
  const data = options.data ?? saved.data;
  if (data === undefined) return undefined;
  return {
    spec: parseDataSpec(data),
    train: options.trainSamples ?? saved.trainSamples,
    test: options.testSamples ?? saved.testSamples,
    size: options.imageSize ?? saved.imageSize,
  };
}

/** Reads a data set; says what it is. */
export async function readData(
  { spec, ...options }: ChosenData,
  progress: Progress,
  signal: AbortSignal,
): Promise<DataSet> {
  const { name, path } = spec;
  progress.begin(`data ${path === undefined ? name : `${name}:${path}`}`);
  const began = performance.now();
  const data = await openData(spec, {
    ...options,
    signal,
    onProgress: ({ done, total }) => {
      const eta = (secondsSince(began) / done) * (total - done);
      progress.update(done / total, eta, `${done.toLocaleString('en')} images`);
    },
  });
  signal.throwIfAborted();
  progress.end(describeData(data));
  return data;
}

/** `1,437 + 360 images of 1 x 8 x 8 in 10 classes`. */
export function describeData({ train, test, classes }: DataSet): string {
  const counts = [train, test].flatMap((split) => (split ? [split.count.toLocaleString('en')] : []));
  return `${counts.join(' + ')} images of ${train.shape.slice(1).join(' x ')} in ${classes} classes`;
}
