/** `ptmz measure`: metrics of the loss landscape around each member of a saved run. */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Option } from 'commander';
import type { Split } from '../../data/split.js';
import { requireDevice } from '../../device.js';
import { PtmzError, unexpected } from '../../errors.js';
import { makeWritable, writeFileAtomic } from '../../formats/atomicFile.js';
import {
  checkMetric,
  chooseMetrics,
  metrics,
  type Measurement,
  type MetricColumn,
  type MetricOptions,
} from '../../landscape/metrics.js';
import { isProblem } from '../../models/trainable.js';
import { precisions, type Precision } from '../../precision.js';
import type { Run } from '../../train/run.js';
import { Survivors } from '../../train/survivors.js';
import { helpSection, withExamples, type AddCommand } from '../command.js';
import { addDataOptions, type DataOptions } from '../dataOptions.js';
import { stopOnInterrupt } from '../interrupt.js';
import { device, integer, names } from '../options.js';
import { createProgress, secondsSince, type Progress } from '../progress.js';
import { openRun } from '../savedRun.js';
import { formatCount, formatDuration, formatNumber, formatTable, type Column } from '../table.js';
import { sampleNoun } from '../trainingProgress.js';

interface Options extends DataOptions, Omit<MetricOptions, 'signal' | 'onProgress' | 'memoryLimit'> {
  only: string[];
  split: 'train' | 'test';
  device: string;
  precision?: Precision;
  average?: boolean;
  out?: string;
  json?: boolean;
}

/** A metric that was measured. */
interface Measured extends Measurement {
  name: string;
  options: MetricOptions;
  seconds: number;
}

export const addMeasure: AddCommand = (program) => {
  const all = Object.keys(metrics);
  const methods = [...new Set(Object.values(metrics).flatMap((metric) => metric.methods ?? []))];
  const command = program
    .command('measure')
    .description('measure the loss landscape around each network of a saved run')
    .argument('<run>', 'directory of a run, or one of its checkpoints')
    .optionsGroup('Metrics:')
    .option('--only <names>', 'metrics, separated by commas', names, all)
    .option('--probes <n>', 'of trace: random vectors (default: 100)', integer(1))
    .option('--top <n>', 'of eigenvalues: how many (default: 1)', integer(1))
    .addOption(
      new Option('--which <end>', 'of eigenvalues: which ones').choices(['largest', 'smallest', 'both', 'magnitude']),
    )
    .option('--runs <n>', 'of spectrum: random vectors (default: 1)', integer(1))
    .option('--steps <n>', 'of eigenvalues and spectrum: products at most (default: 100)', integer(1))
    .addOption(new Option('--method <name>', 'of those metrics that have it').choices(methods))
    .option('--seed <n>', 'another one gives other random vectors (default: 0)', integer(0, 2 ** 32 - 1));
  addDataOptions(command, 'images or text of the run, where they are not found again')
    .addOption(new Option('--split <name>', 'samples to measure on').choices(['train', 'test']).default('train'))
    .option('--samples <n>', 'the first so many of them (default: all)', integer(1))
    .option('--average', 'at the moving average of the weights, of a run with --average')
    .optionsGroup('Running:')
    .option('--batch-size <n>', 'samples in memory at once; changes nothing but speed (default: 64)', integer(1))
    .option('--threads <n>', 'threads (default: all cores); results do not depend on it', integer(0, 4096))
    .option('--device <name>', 'where it runs: cpu, cuda or cuda:N', device, 'cpu')
    .addOption(
      new Option('--precision <name>', "of products on a CUDA device (default: the run's)").choices(precisions),
    )
    .option('--json', 'print the results as JSON, with all that is known')
    .option('--out <file>', 'write that JSON to a file; without it the results are printed and not kept')
    .addHelpText('after', describeMetrics())
    .action(measure);
  withExamples(command, [
    ['ptmz measure runs/resnet18-w8-b64-digits', 'all metrics on all training images'],
    ['ptmz measure RUN --only trace --probes 32 --samples 256', 'a quick look'],
    ['ptmz measure RUN --only eigenvalues --top 5 --which both --out eigenvalues.json', 'both ends of the spectrum'],
  ]);
};

function describeMetrics(): string {
  const rows = Object.entries(metrics).map(([name, { description, methods }]) => {
    const choices = methods ? `; --method ${methods.join(', ')}` : '';
    return [name, `${description}${choices}`] as const;
  });
  return helpSection('Metrics', rows);
}

async function measure(path: string, options: Options): Promise<void> {
  const began = performance.now();
  const { samples, batchSize, threads, seed, probes, top, which, runs, steps, method } = options;
  const given = { samples, batchSize, threads, seed, probes, top, which, runs, steps, method };
  const chosen = chooseMetrics([...new Set(options.only)], given);
  requireDevice('--device', options.device);
  if (options.out !== undefined) checkOutput(options.out);
  const progress = createProgress();
  using interrupt = stopOnInterrupt(progress, 'stopping; what is measured is kept');
  try {
    const opened = await openRun(path, options, progress, interrupt.signal);
    using run = opened.run;
    if (isProblem(run.model) && options.split === 'test')
      throw unexpected('--split', `train: ${run.model.name} has one loss`, options.split);
    const split = run.data[options.split];
    if (!split) throw unexpected('--split', `train: ${run.data.name} has no test samples`, options.split);
    if (options.average && run.settings.average === undefined)
      throw unexpected('--average', 'nothing: the run keeps no moving average', 'true');
    using survivors = new Survivors(run, options.average);
    const population = survivors.run;
    sayLeftOut(run);
    for (const [name, own] of chosen) await checkMetric(name, population, split, own);
    const measured: Measured[] = [];
    try {
      await measureAll(population, split, chosen, progress, interrupt.signal, measured);
    } finally {
      progress.stop();
      const missing = [...chosen.keys()].slice(measured.length);
      report(options, { path, survivors, measured, missing, seconds: secondsSince(began) });
    }
  } catch (error) {
    progress.stop();
    if (!interrupt.caused(error)) throw error;
  }
}

function sayLeftOut({ seeds, divergedAt }: Run): void {
  const left = seeds.flatMap((seed, m) => (divergedAt[m] === null ? [] : [`seed ${seed} (step ${divergedAt[m]})`]));
  if (left.length > 0) process.stderr.write(`left out, as diverged: ${left.join(', ')}\n`);
}

/** Proves that the results can be written before hours are spent on them. */
function checkOutput(path: string): void {
  makeWritable(dirname(resolve(path)));
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory())
    throw new PtmzError('NOT_WRITABLE', `--out ${path}: expected a file, there is a folder of that name`);
}

/** One metric after the other; `measured` gets each as it is done. The time left is that of all of them. */
async function measureAll(
  run: Run,
  split: Split,
  chosen: ReadonlyMap<string, MetricOptions>,
  progress: Progress,
  signal: AbortSignal,
  measured: Measured[],
): Promise<void> {
  const products = [...chosen].map(([name, own]) => metrics[name]!.products(run, own));
  const total = products.reduce((a, b) => a + b);
  const start = performance.now();
  let done = 0;
  for (const [index, [name, options]] of [...chosen].entries()) {
    const own = products[index]!;
    const began = performance.now();
    progress.begin(`[${index + 1}/${chosen.size}] ${name}${describeSamples(run, split, options)}`);
    const onProgress = ({ fraction, eta }: { fraction: number; eta: number }) => {
      const now = done + fraction * own;
      // Later metrics are expected to need as long for a product as those before.
      const later = (secondsSince(start) / now) * (total - done - own);
      progress.update(now / total, eta + (later || 0), `${Math.floor(100 * fraction)} % of ${name}`);
    };
    const result = await metrics[name]!.measure(run, split, { ...options, signal, onProgress });
    measured.push({ name, options, seconds: secondsSince(began), ...result });
    progress.end(formatDuration(secondsSince(began)));
    done += own;
  }
}

/** ` on 50 images`; nothing of a problem, which is always measured whole. */
function describeSamples({ model }: Run, split: Split, { samples }: MetricOptions): string {
  return isProblem(model) ? '' : ` on ${formatCount(samples ?? split.count, sampleNoun(model))}`;
}

interface Outcome {
  path: string;
  /** The members that were measured; a result has one entry for each of these. */
  survivors: Survivors;
  measured: readonly Measured[];
  /** Names of metrics that were not measured: the work was stopped, or failed. */
  missing: readonly string[];
  seconds: number;
}

function report(
  { split, out, json, average }: Options,
  { path, survivors, measured, missing, seconds }: Outcome,
): void {
  const run = survivors.whole;
  const result = {
    run: resolve(path),
    ...{ model: run.model.name, parameters: run.parameterCount, step: run.step, epoch: run.history.length },
    data: { name: run.data.name, split, count: run.data[split]!.count },
    average: average ?? false,
    ...{ seeds: run.seeds, divergedAt: run.divergedAt, missing, seconds },
    metrics: Object.fromEntries(
      measured.map(({ name, options, seconds, members }) => [
        name,
        { options, seconds, members: survivors.ofAll(members) },
      ]),
    ),
  };
  const text = `${JSON.stringify(result, null, 2)}\n`;
  if (json) process.stdout.write(text);
  else if (measured.length > 0)
    console.log(`\n${formatTable(columnsOf(survivors, measured), [...run.seeds.keys()])}\n`);
  if (missing.length > 0) process.stderr.write(`not measured: ${missing.join(', ')}\n`);
  if (measured.length === 0) return;
  if (out !== undefined) writeFileAtomic(out, Buffer.from(text));
  process.stderr.write(out === undefined ? 'not written to a file; --out FILE does that\n' : `written: ${out}\n`);
}

/** A row of the table is the number of a member. */
function columnsOf({ whole, members }: Survivors, measured: readonly Measured[]): Column<number>[] {
  return [
    { heading: 'seed', cell: (m) => String(whole.seeds[m]) },
    ...measured
      .flatMap(({ columns }) => columns)
      .map((column) => ({
        heading: column.heading,
        cell: (m: number) => formatCell(column, members.indexOf(m)),
      })),
  ];
}

function formatCell({ values, errors, converged }: MetricColumn, m: number): string {
  if (m < 0) return '-';
  const error = errors ? ` ± ${formatNumber(errors[m], 2)}` : '';
  return `${formatNumber(values[m])}${error}${converged?.[m] === false ? ' (not converged)' : ''}`;
}
