/** `ptmz quickstart`: a small zoo from start to end - networks on a grid of load and temperature, measured and drawn. */
import { InvalidArgumentError, Option } from 'commander';
import { resolve } from 'node:path';
import type { DataSet } from '../../data/dataset.js';
import { digits } from '../../data/digits.js';
import { fashionMnist } from '../../data/fashionMnist.js';
import { checkInteger, PtmzError } from '../../errors.js';
import { cellsOf, checkGrid, gridParams, type Grid, type HessianSettings } from '../../zoo/grid.js';
import type { ResultLine } from '../../zoo/resultLine.js';
import { runZoo } from '../../zoo/runner.js';
import { ZooStore } from '../../zoo/store.js';
import { withExamples, type AddCommand } from '../command.js';
import { listenForInterrupt } from '../interrupt.js';
import { createProgress, type Progress } from '../progress.js';
import { formatDuration, formatNumber, formatPercent } from '../table.js';
import { formatPhaseTable, writePhaseFigure } from '../zooReport.js';

interface Options {
  out: string;
  data?: DataName;
  samples?: number;
  epochs: number;
  widths: number[];
  batchSizes: number[];
  seeds: number[];
  json?: boolean;
}

type DataName = 'fashion-mnist' | 'digits';

const WIDTHS = [2, 4, 8];
const BATCH_SIZES = [16, 64, 256];
const SEEDS = [0, 1, 2];
// Enough for the order of the cells, at a third of the whole time.
const HESSIAN: HessianSettings = { samples: 192, probes: 16, steps: 40, tolerance: 0.01 };

const integer = (low: number) => (text: string) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < low) throw new InvalidArgumentError(`Expected an integer >= ${low}.`);
  return value;
};
// The first value of a list option takes the place of its default.
const integers = (low: number, standard: number[]) => (text: string, previous: number[]) => [
  ...(previous === standard ? [] : previous),
  integer(low)(text),
];

export const addQuickstart: AddCommand = (program) => {
  const command = program
    .command('quickstart')
    .description('train a small zoo on real images, measure its loss landscape, draw its phases')
    .option('--out <dir>', 'folder of the zoo; made if needed, continued if it is there', 'quickstart')
    .addOption(
      new Option('--data <name>', 'images; default: Fashion-MNIST where it is installed').choices(Object.keys(readers)),
    )
    .option('--samples <n>', 'training images (default: 4000, or all digits); a quarter as many to test', integer(1))
    .option('--epochs <n>', 'passes over the training images', integer(1), 3)
    .option('--widths <n...>', 'load: channels of the first stage', integers(1, WIDTHS), WIDTHS)
    .option('--batch-sizes <n...>', 'temperature: small batches are hot', integers(1, BATCH_SIZES), BATCH_SIZES)
    .option('--seeds <n...>', 'members of the population in each cell', integers(0, SEEDS), SEEDS)
    .option('--json', 'print the results as JSON')
    .action(quickstart);
  withExamples(command, [
    ['ptmz quickstart', 'a zoo of 27 ResNet-18s in a few minutes; after Ctrl-C the same line goes on'],
    ['ptmz quickstart --widths 2 4 --epochs 2 --out small', 'smaller and faster'],
    ['ptmz quickstart --data digits --json > zoo.json', 'without Fashion-MNIST; the numbers for a program'],
  ]);
};

async function quickstart(options: Options): Promise<void> {
  const began = performance.now();
  const grid = await readGrid(options);
  const store = new ZooStore(resolve(options.out), grid);
  say(grid, options.out);
  const progress = createProgress();
  using interrupt = listenForInterrupt(() => {
    progress.stop();
    process.stderr.write('\nsaving after this step; press Ctrl-C again to end at once\n');
  });
  let stopped = false;
  try {
    await train(store, progress, interrupt.signal);
  } catch (error) {
    progress.stop();
    if (error !== interrupt.signal.reason) throw error;
    stopped = true;
  }
  await report(store, options, (performance.now() - began) / 1000, stopped);
  if (interrupt.exitCode !== undefined) process.exitCode = interrupt.exitCode;
}

// Data

const readers: Record<DataName, (samples: number | undefined) => Promise<DataSet>> = {
  'fashion-mnist': (samples = 4000) => read(fashionMnist, samples, 60_000, 10_000),
  digits: (samples = 1437) => read(digits, samples, 1437, 360),
};

function read(
  reader: (counts: { train: number; test: number }) => Promise<DataSet>,
  samples: number,
  train: number,
  test: number,
): Promise<DataSet> {
  checkInteger('--samples', samples, 1, train);
  return reader({ train: samples, test: Math.min(test, Math.ceil(samples / 4)) });
}

/** The grid that the options ask for, checked before any work. */
async function readGrid({ data, samples, widths, batchSizes, seeds, epochs }: Options): Promise<Grid> {
  const images = await loadData(data, samples);
  const hessian = { ...HESSIAN, samples: Math.min(HESSIAN.samples, images.train.count) };
  return checkGrid({ widths, batchSizes, seeds, epochs, lr: 0.1, data: images, hessian });
}

async function loadData(name: DataName | undefined, samples: number | undefined): Promise<DataSet> {
  if (name !== undefined) return readers[name](samples);
  try {
    return await readers['fashion-mnist'](samples);
  } catch (error) {
    if (!(error instanceof PtmzError) || error.code !== 'DATA_MISSING') throw error;
    process.stderr.write('Fashion-MNIST is not installed; the digits that come with the package take its place\n');
    return readers.digits(samples);
  }
}

function say({ data, widths, batchSizes, seeds }: Grid, out: string): void {
  const [, channels, height, width] = data.train.shape;
  const counts = `${data.train.count.toLocaleString('en')} + ${(data.test?.count ?? 0).toLocaleString('en')}`;
  process.stderr.write(`data: ${data.name}, ${counts} images of ${channels} x ${height} x ${width}\n`);
  const networks = widths.length * batchSizes.length * seeds.length;
  const grid = `${widths.length} widths x ${batchSizes.length} batch sizes x ${seeds.length} seeds`;
  process.stderr.write(`zoo: ${networks} ResNet-18s (${grid}) in ${out}\n`);
}

// Work

async function train(store: ZooStore, progress: Progress, signal: AbortSignal): Promise<void> {
  const { grid } = store;
  const before = cellsOf(grid).filter((cell) => store.isFinished(cell)).length;
  if (before > 0) process.stderr.write(`${before} of ${cellsOf(grid).length} cells were finished before\n`);
  let began = 0;
  await runZoo(store, {
    signal,
    onBegin: (cell, position, cells) => {
      began = performance.now();
      progress.begin(`[${position}/${cells}] width ${cell.width}, batch size ${cell.batchSize}`);
    },
    onProgress: ({ fraction, eta, stage, details }) =>
      progress.update(fraction, eta, stage === 'training' ? `training, ${details}` : details),
    onFinish: (_, lines) => progress.end(`${formatDuration((performance.now() - began) / 1000)}, ${outcome(lines)}`),
    onWarning: (message) => {
      progress.stop();
      process.stderr.write(`warning: ${message}\n`);
    },
  });
}

/** What a cell came to, network by network. */
function outcome(lines: readonly ResultLine[]): string {
  const last = lines.filter(({ done }) => done);
  const list = (texts: string[]) => texts.join(', ');
  const accuracy = list(last.map((line) => formatPercent(line.test_acc)));
  const trace = list(last.map((line) => formatNumber(line.hessian_trace_train_mean, 3)));
  return `test accuracy ${accuracy}; Hessian trace ${trace}`;
}

// Results

async function report(store: ZooStore, options: Options, seconds: number, interrupted: boolean): Promise<void> {
  const { grid } = store;
  const cells = store.summaries();
  const all = cellsOf(grid);
  if (options.json) {
    const params = gridParams(grid);
    process.stdout.write(
      `${JSON.stringify({ directory: store.directory, params, seconds, interrupted, cells }, null, 2)}\n`,
    );
  } else if (cells.length > 0) console.log(`\n${formatPhaseTable(cells)}\n`);
  if (cells.length > 0) await writePhaseFigure(store);
  const time = formatDuration(seconds);
  process.stderr.write(
    interrupted
      ? `stopped after ${time} with ${cells.length} of ${all.length} cells; the same command goes on from here\n`
      : `done after ${time}; everything is in ${options.out}\n`,
  );
}
