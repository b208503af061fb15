/** `ptmz quickstart`: the main job in small - train two populations of ResNets on real images, measure their curvature. */
import { access, constants, mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { digits } from '../../data/digits.js';
import type { DataSet } from '../../data/dataset.js';
import { fashionMnist } from '../../data/fashionMnist.js';
import { PtmzError } from '../../errors.js';
import { hessianTrace } from '../../landscape/hessian.js';
import { prepareResNet } from '../../train/presets.js';
import type { EpochRecord } from '../../train/progress.js';
import type { Run } from '../../train/run.js';
import { withExamples, type AddCommand } from '../command.js';
import { listenForInterrupt } from '../interrupt.js';
import { createProgress, type Progress } from '../progress.js';
import { formatDuration, formatNumber, formatPercent, formatTable, type Column } from '../table.js';

interface Options {
  out?: string;
  epochs: number;
  widths: number[];
  seeds: number[];
  json?: boolean;
}

/** What is known of one network in the end. */
interface Member {
  width: number;
  seed: number;
  epochs: number;
  trainLoss: number | null;
  trainAccuracy: number | null;
  testLoss: number | null;
  testAccuracy: number | null;
  hessianTrace: number | null;
  traceError: number | null;
  /** The step at which it diverged. */
  divergedAt: number | null;
}

const WIDTHS = [2, 8];
const SEEDS = [0, 1, 2];
const TRAIN = 4000;
const TEST = 1000;
const BATCH = 64;
const PROBES = 32;
const TRACE_SAMPLES = 256;

const columns: Column<Member>[] = [
  { heading: 'width', cell: (m) => String(m.width) },
  { heading: 'seed', cell: (m) => String(m.seed) },
  { heading: 'train loss', cell: (m) => formatNumber(m.trainLoss) },
  { heading: 'train acc', cell: (m) => formatPercent(m.trainAccuracy) },
  { heading: 'test loss', cell: (m) => formatNumber(m.testLoss) },
  { heading: 'test acc', cell: (m) => formatPercent(m.testAccuracy) },
  {
    heading: 'Hessian trace',
    cell: (m) =>
      m.hessianTrace === null ? '-' : `${formatNumber(m.hessianTrace, 3)} ± ${formatNumber(m.traceError, 2)}`,
  },
  { heading: '', cell: (m) => (m.divergedAt === null ? '' : `diverged at step ${m.divergedAt}`) },
];

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
    .description('train ResNet-18s of two widths on real images and measure their Hessian traces')
    .option('--out <dir>', 'folder for quickstart.json; made if needed')
    .option('--epochs <n>', 'passes over the training images', integer(1), 5)
    .option('--widths <n...>', 'channels of the first stage, one population each', integers(1, WIDTHS), WIDTHS)
    .option('--seeds <n...>', 'members of each population', integers(0, SEEDS), SEEDS)
    .option('--json', 'print the results as JSON')
    .action(quickstart);
  withExamples(command, [
    ['ptmz quickstart', 'the main job on real images, in about two minutes'],
    ['ptmz quickstart --widths 2 4 --epochs 2', 'smaller and faster'],
    ['ptmz quickstart --out results --json', 'keep the numbers'],
  ]);
};

async function quickstart(options: Options): Promise<void> {
  const started = performance.now();
  if (options.out !== undefined) await checkWritable(resolve(options.out));
  const data = await loadData();
  const progress = createProgress();
  using interrupt = listenForInterrupt(() => {
    progress.stop();
    process.stderr.write('\nstopping after this step; press Ctrl-C again to end at once\n');
  });
  const members: Member[] = [];
  try {
    for (const [index, width] of options.widths.entries()) {
      const label = `[${index + 1}/${options.widths.length}] width ${width}`;
      await trainAndMeasure(label, width, data, options, progress, interrupt.signal, members);
    }
  } catch (error) {
    progress.stop();
    if (interrupt.exitCode === undefined) throw error;
    process.exitCode = interrupt.exitCode;
  }
  await report(options, data, members, (performance.now() - started) / 1000, interrupt.exitCode !== undefined);
}

/** Trains one population and measures it; `members` gets what is known, even when this is stopped. */
async function trainAndMeasure(
  label: string,
  width: number,
  data: DataSet,
  { epochs, seeds }: Options,
  progress: Progress,
  signal: AbortSignal,
  members: Member[],
): Promise<void> {
  using run = prepareResNet({ depth: 18, width, data, batchSize: BATCH, epochs, seeds });
  let trace: { trace: number[]; standardError: number[] } | undefined;
  try {
    const began = performance.now();
    progress.begin(
      `${label}: training ${seeds.length} networks of ${run.parameterCount.toLocaleString('en')} parameters`,
    );
    await run.train({
      signal,
      onProgress: (p) => {
        const speed = `${Math.round(p.samplesPerSecond).toLocaleString('en')} images/s`;
        progress.update(p.step / p.steps, p.eta, `epoch ${p.epoch}/${p.epochs}  loss ${list(p.loss)}  ${speed}`);
      },
    });
    const last = run.history.at(-1);
    progress.end(`${formatDuration((performance.now() - began) / 1000)}, test accuracy ${percents(last)}`);
    trace = await measure(label, run, data, progress, signal);
  } finally {
    if (run.history.length > 0) members.push(...describe(width, run, trace));
  }
}

async function measure(label: string, run: Run, data: DataSet, progress: Progress, signal: AbortSignal) {
  const began = performance.now();
  const samples = Math.min(TRACE_SAMPLES, data.train.count);
  progress.begin(`${label}: Hessian trace, ${PROBES} probes on ${samples} training images`);
  const trace = await hessianTrace(run, data.train, {
    probes: PROBES,
    samples,
    signal,
    onProgress: (p) => {
      const seconds = (performance.now() - began) / 1000;
      const details = `network ${p.member + 1}/${p.members}  trace ${formatNumber(p.trace, 3)}`;
      progress.update(p.fraction, p.fraction > 0 ? (seconds / p.fraction) * (1 - p.fraction) : NaN, details);
    },
  });
  progress.end(`${formatDuration((performance.now() - began) / 1000)}, ${list(trace.trace)}`);
  return trace;
}

const list = (values: readonly number[]) => values.map((x) => formatNumber(x, 3)).join(' ');
const percents = (record: EpochRecord | undefined) => record?.testAccuracy.map(formatPercent).join(', ') ?? '-';

function describe(width: number, run: Run, trace?: { trace: number[]; standardError: number[] }): Member[] {
  const { history, divergedAt } = run;
  const last = history.at(-1);
  const known = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? null : value);
  return run.seeds.map((seed, m) => ({
    width,
    seed,
    epochs: history.length,
    trainLoss: known(last?.trainLoss[m]),
    trainAccuracy: known(last?.trainAccuracy[m]),
    testLoss: known(last?.testLoss[m]),
    testAccuracy: known(last?.testAccuracy[m]),
    hessianTrace: known(trace?.trace[m]),
    traceError: known(trace?.standardError[m]),
    divergedAt: divergedAt[m]!,
  }));
}

async function loadData(): Promise<DataSet> {
  try {
    const data = await fashionMnist({ train: TRAIN, test: TEST });
    return say(data, "Debian's dataset-fashion-mnist");
  } catch (error) {
    if (!(error instanceof PtmzError) || error.code !== 'DATA_MISSING') throw error;
    return say(await digits(), 'part of this package; Fashion-MNIST is not installed');
  }
}

function say(data: DataSet, origin: string): DataSet {
  const [, channels, height, width] = data.train.shape;
  const counts = `${data.train.count.toLocaleString('en')} + ${(data.test?.count ?? 0).toLocaleString('en')}`;
  process.stderr.write(`data: ${data.name}, ${counts} images of ${channels} x ${height} x ${width} (${origin})\n`);
  return data;
}

async function report(
  options: Options,
  data: DataSet,
  members: Member[],
  seconds: number,
  interrupted: boolean,
): Promise<void> {
  const settings = { model: 'resnet18', batchSize: BATCH, probes: PROBES, traceSamples: TRACE_SAMPLES };
  const { epochs, widths, seeds } = options;
  const images = { name: data.name, train: data.train.count, test: data.test?.count ?? 0 };
  const result = { ...settings, epochs, widths, seeds, data: images, seconds, interrupted, members };
  const text = `${JSON.stringify(result, null, 2)}\n`;
  if (options.json) process.stdout.write(text);
  else if (members.length > 0) console.log(`\n${formatTable(columns, members)}\n`);
  if (options.out !== undefined) {
    const path = join(options.out, 'quickstart.json');
    await writeFile(`${path}.tmp`, text);
    await rename(`${path}.tmp`, path);
    process.stderr.write(`written: ${path}\n`);
  }
  process.stderr.write(`${interrupted ? 'stopped' : 'done'} after ${formatDuration(seconds)}\n`);
}

async function checkWritable(dir: string): Promise<void> {
  try {
    await makeDirectory(dir);
    await access(dir, constants.W_OK);
    if (!(await stat(dir)).isDirectory()) throw new Error('there is a file of that name');
  } catch (cause) {
    throw new PtmzError('IO_ERROR', `--out ${dir}: not a folder that can be written to: ${(cause as Error).message}`, {
      cause,
    });
  }
}

// Not mkdir's `recursive`: it never returns where a parent exists but refuses children with ENOENT, as /proc does.
async function makeDirectory(dir: string): Promise<void> {
  try {
    await mkdir(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(dir) === dir) throw error;
    await makeDirectory(dirname(dir));
    await mkdir(dir);
  }
}
