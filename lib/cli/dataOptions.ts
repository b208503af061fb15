/** `--data` and what belongs to it: the options of every command that reads images, and reading them with progress. */
import type { Command } from 'commander';
import type { DataSet } from '../data/dataset.js';
import {
  dataSources,
  kindOf,
  openData,
  openImages,
  parseDataSpec,
  specPattern,
  type DataSpec,
  type OpenDataOptions,
} from '../data/registry.js';
import type { Split } from '../data/split.js';
import { helpSection } from './command.js';
import { integer } from './options.js';
import { secondsSince, type Progress } from './progress.js';

/** What the options give. */
export interface DataOptions {
  data?: string;
  trainSamples?: number;
  testSamples?: number;
  imageSize?: number;
  block?: number;
}

/** Their keys. */
export const dataKeys = ['data', 'trainSamples', 'testSamples', 'imageSize', 'block'] as const;

/** `--train-samples`, of a key. */
export const dataFlag = (key: (typeof dataKeys)[number]): string =>
  `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** A data set of the command line, checked but not read. */
export interface ChosenData {
  spec: DataSpec;
  train?: number;
  test?: number;
  size?: number;
  block?: number;
}

/** Adds the options; `purpose` says what `--data` is for. */
export function addDataOptions(command: Command, purpose: string): Command {
  return command
    .optionsGroup('Data:')
    .option('--data <spec>', `${purpose}; data sets are listed below`)
    .option(
      '--train-samples <n>',
      'training images: a fixed subset with equal numbers of all classes; of text the first windows',
      integer(1),
    )
    .option('--test-samples <n>', 'test samples, in the same way', integer(1))
    .option('--image-size <pixels>', 'of image-folder: side to which images are brought', integer(1))
    .option('--block <n>', 'of text: tokens in a window (default: 64)', integer(1, 2 ** 31 - 1))
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
    block: options.block ?? saved.block,
  };
}

/** Reads a data set of any kind; says what it is. */
export async function readData(chosen: ChosenData, progress: Progress, signal: AbortSignal): Promise<DataSet<Split>> {
  return read(openData, chosen, progress, signal);
}

/** The same, of images alone. */
export async function readImages(chosen: ChosenData, progress: Progress, signal: AbortSignal): Promise<DataSet> {
  return read(openImages, chosen, progress, signal);
}

async function read<S extends Split>(
  open: (spec: DataSpec, options: OpenDataOptions) => Promise<DataSet<S>>,
  { spec, ...options }: ChosenData,
  progress: Progress,
  signal: AbortSignal,
): Promise<DataSet<S>> {
  const { name, path } = spec;
  progress.begin(`data ${path === undefined ? name : `${name}:${path}`}`);
  const began = performance.now();
  const data = await open(spec, {
    ...options,
    signal,
    onProgress: ({ done, total }) => {
      const eta = (secondsSince(began) / done) * (total - done);
      progress.update(
        done / total,
        eta,
        `${done.toLocaleString('en')} ${kindOf(spec) === 'text' ? 'tokens' : 'images'}`,
      );
    },
  });
  signal.throwIfAborted();
  progress.end(describeData(data, kindOf(spec)));
  return data;
}

/** `1,437 + 360 images of 1 x 8 x 8 in 10 classes`, `500 + 50 windows of 64 tokens, 65 different`. */
function describeData({ train, test, classes }: DataSet<Split>, kind: 'images' | 'text'): string {
  const counts = [train, test].flatMap((split) => (split ? [split.count.toLocaleString('en')] : [])).join(' + ');
  const sizes = train.shape.slice(1);
  return kind === 'text'
    ? `${counts} windows of ${sizes[0]!} tokens, ${classes.toLocaleString('en')} different`
    : `${counts} images of ${sizes.join(' x ')} in ${classes} classes`;
}
