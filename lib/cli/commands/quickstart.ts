/** `ptmz quickstart`: a small zoo from start to end - networks on a grid of load and temperature, measured and drawn. */
import { resolve } from 'node:path';
import type { DataSet } from '../../data/dataset.js';
import { dataSources } from '../../data/registry.js';
import { requireDevice } from '../../device.js';
import { PtmzError } from '../../errors.js';
import { resnetDefaults } from '../../train/trainResNet.js';
import {
  cellsOf,
  checkGrid,
  checkSettings,
  gridParams,
  type Cell,
  type Grid,
  type HessianSettings,
} from '../../zoo/grid.js';
import type { ResultLine } from '../../zoo/resultLine.js';
import { cellsAtOnce, runZoo, type ZooOptions, type ZooProgress } from '../../zoo/runner.js';
import { ZooStore } from '../../zoo/store.js';
import { withExamples, type AddCommand } from '../command.js';
import { addDataOptions, chooseData, readImages, type ChosenData, type DataOptions } from '../dataOptions.js';
import { endEarly, stopOnInterrupt, type Interrupt } from '../interrupt.js';
import { device, integer, list } from '../options.js';
import { createProgress, secondsSince, type Progress } from '../progress.js';
import { formatCount, formatDuration, formatNumber, formatPercent } from '../table.js';
import { describeTraining, sayPaused } from '../trainingProgress.js';
import { formatPhaseTable, writePhaseFigure } from '../zooReport.js';

interface Options extends DataOptions {
  out: string;
  epochs: number;
  widths: readonly number[];
  batchSizes: readonly number[];
  seeds: readonly number[];
  device: string;
  json?: boolean;
}

const standard = { widths: [2, 4, 8], batchSizes: [16, 64, 256], seeds: [0, 1, 2] };
/** Training images, where nothing is said and there are as many. */
const usualSamples = 4000;
// Enough for the order of the cells, at a third of the whole time.
const usualHessian: HessianSettings = { samples: 192, probes: 16, steps: 40, tolerance: 0.01 };

export const addQuickstart: AddCommand = (program) => {
  const { widths, batchSizes, seeds } = standard;
  const command = program
    .command('quickstart')
    .description('train a small zoo on real images, measure its loss landscape, draw its phases')
    .option('--out <dir>', 'folder of the zoo; made if needed, continued if it is there', 'quickstart')
    .option('--epochs <n>', 'passes over the training images', integer(1), 3)
    .option('--widths <n...>', 'load: channels of the first stage', list(integer(1), widths), widths)
    .option('--batch-sizes <n...>', 'temperature: small batches are hot', list(integer(1), batchSizes), batchSizes)
    .option('--seeds <n...>', 'members of the population in each cell', list(integer(0), seeds), seeds)
    .option('--device <name>', 'where it runs: cpu, cuda or cuda:N', device, 'cpu')
    .option('--json', 'print the results as JSON')
    .action(quickstart);
  addDataOptions(command, 'images; default: Fashion-MNIST where it is installed, or else digits');
  withExamples(command, [
    ['ptmz quickstart', 'a zoo of 27 ResNet-18s in a few minutes; after Ctrl-C the same line goes on'],
    ['ptmz quickstart --widths 2 4 --epochs 2 --out small', 'smaller and faster'],
    ['ptmz quickstart --data digits --json > zoo.json', 'without Fashion-MNIST; the numbers for a program'],
  ]);
};

async function quickstart(options: Options): Promise<void> {
  const began = performance.now();
  const { widths, batchSizes, seeds, epochs } = options;
  const settings = { widths, batchSizes, seeds, epochs, lr: resnetDefaults.lr };
  checkSettings(settings);
  requireDevice('--device', options.device);
  const progress = createProgress();
  using interrupt = stopOnInterrupt(progress, 'stopping after this step, to save it');
  let data: DataSet;
  try {
    data = await chooseImages(options, progress, interrupt.signal);
  } catch (error) {
    return endEarly(error, progress, interrupt);
  }
  const hessian = { ...usualHessian, samples: Math.min(usualHessian.samples, data.train.count) };
  using store = new ZooStore(resolve(options.out), checkGrid({ ...settings, data, hessian }));
  say(store.grid, options.out);
  const done = await trainAndMeasure(store, options.device, progress, interrupt);
  await report(store, options, secondsSince(began), !done);
}

// Data

/** The images that the options name, or else the best that are installed. */
async function chooseImages(options: DataOptions, progress: Progress, signal: AbortSignal): Promise<DataSet> {
  const read = (data: string) => readImages(withCounts(chooseData({ ...options, data })!), progress, signal);
  if (options.data !== undefined) return read(options.data);
  try {
    return await read('fashion-mnist');
  } catch (error) {
    if (!(error instanceof PtmzError) || error.code !== 'DATA_MISSING') throw error;
    progress.note('Fashion-MNIST is not installed; the digits that come with the package take its place');
    return read('digits');
  }
}

/** A part of a large data set, with a quarter as many images to test where it is known how many there are. */
function withCounts({ spec, train, test, size }: ChosenData): ChosenData {
  const [most, mostTest] = dataSources[spec.name]!.counts ?? [Infinity];
  const count = train ?? Math.min(usualSamples, most);
  const testCount = test ?? (mostTest && Math.min(mostTest, Math.ceil(count / 4)));
  return { spec, train: count, test: testCount, size };
}

function say({ widths, batchSizes, seeds }: Grid, out: string): void {
  const networks = widths.length * batchSizes.length * seeds.length;
  const axes = [
    formatCount(widths.length, 'width'),
    formatCount(batchSizes.length, 'batch size'),
    formatCount(seeds.length, 'seed'),
  ];
  process.stderr.write(`zoo: ${formatCount(networks, 'ResNet-18')} (${axes.join(' x ')}) in ${out}\n`);
}

// Work

/** False where a signal stopped it. */
async function trainAndMeasure(
  store: ZooStore,
  device: string,
  progress: Progress,
  interrupt: Interrupt,
): Promise<boolean> {
  const cells = cellsOf(store.grid);
  const before = cells.filter((cell) => store.isFinished(cell)).length;
  if (before > 0) process.stderr.write(`${before} of ${cells.length} cells were finished before\n`);
  try {
    await runZoo(store, {
      device,
      signal: interrupt.signal,
      ...(cellsAtOnce(device) > 1 ? showSideBySide(progress, cells.length - before) : showInTurn(progress)),
      onDiskFull: sayPaused(progress),
      onWarning: (message) => progress.note(`warning: ${message}`),
    });
    progress.stop();
    return true;
  } catch (error) {
    progress.stop();
    if (!interrupt.caused(error)) throw error;
    return false;
  }
}

type Shown = Pick<ZooOptions, 'onBegin' | 'onProgress' | 'onFinish'>;

const titleOf = ({ width, batchSize }: Cell, position: number, count: number): string =>
  `[${position}/${count}] width ${width}, batch size ${batchSize}`;

/** Each cell with a bar of its own. */
function showInTurn(progress: Progress): Shown {
  let began = 0;
  return {
    onBegin: (...cell) => {
      began = performance.now();
      progress.begin(titleOf(...cell));
    },
    onProgress: (p) => progress.update(p.fraction, p.eta, describeStage(p)),
    onFinish: (_, lines) => progress.end(`${formatDuration(secondsSince(began))}, ${outcome(lines)}`),
  };
}

/** All cells under one bar, and a line for each that is done. */
function showSideBySide(progress: Progress, count: number): Shown {
  const underWay = new Map<Cell, { title: string; began: number }>();
  if (count > 0) progress.begin(`${formatCount(count, 'cell')} side by side`);
  return {
    onBegin: (...cell) => underWay.set(cell[0], { title: titleOf(...cell), began: performance.now() }),
    onProgress: (p) =>
      progress.update(p.fraction, p.eta, `width ${p.cell.width}, batch size ${p.cell.batchSize}: ${describeStage(p)}`),
    onFinish: (cell, lines) => {
      const { title, began } = underWay.get(cell)!;
      progress.note(`${title}: ${formatDuration(secondsSince(began))}, ${outcome(lines)}`);
    },
  };
}

function describeStage(progress: ZooProgress): string {
  const { stage, own } = progress;
  if (stage === 'training') return `training, ${describeTraining(own)}`;
  const what = { trace: 'Hessian trace', eigenvalue: 'top eigenvalue' }[stage];
  return `${what} of network ${own.member + 1}/${own.members}`;
}

/** What a cell came to, network by network. */
function outcome(lines: readonly ResultLine[]): string {
  const last = lines.filter(({ done }) => done);
  const accuracy = last.map((line) => formatPercent(line.test_acc)).join(', ');
  const trace = last.map((line) => formatNumber(line.hessian_trace_train_mean, 3)).join(', ');
  return `test accuracy ${accuracy}; Hessian trace ${trace}`;
}

// Results

async function report(store: ZooStore, options: Options, seconds: number, interrupted: boolean): Promise<void> {
  const { grid } = store;
  const cells = store.summaries();
  const all = cellsOf(grid);
  if (options.json) {
    const params = gridParams(grid);
    const { device } = options;
    process.stdout.write(
      `${JSON.stringify({ directory: store.directory, device, params, seconds, interrupted, cells }, null, 2)}\n`,
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
