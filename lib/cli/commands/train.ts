/** `ptmz train`: trains a population on any data set, saves it on the way, and goes on with one that was stopped. */
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { formatDataSpec, shortName } from '../../data/registry.js';
import { PtmzError, unexpected } from '../../errors.js';
import { readStateDict } from '../../formats/stateDict.js';
import { CheckpointDirectory } from '../../train/checkpoints.js';
import { loadStateDict } from '../../train/loadState.js';
import type { Run } from '../../train/run.js';
import type { SavedCheckpoint, SaveOptions } from '../../train/saving.js';
import { withExamples, type AddCommand } from '../command.js';
import { addDataOptions, chooseData, dataKeys, readData, type ChosenData, type DataOptions } from '../dataOptions.js';
import { endEarly, stopOnInterrupt, type Interrupt } from '../interrupt.js';
import { memberColumns, memberRows } from '../members.js';
import { allowOnly, device, integer, shellWord } from '../options.js';
import { createProgress, secondsSince, type Progress } from '../progress.js';
import { writeRunFile } from '../runFile.js';
import { openRun } from '../savedRun.js';
import { formatCount, formatDuration, formatTable } from '../table.js';
import { describeTraining, sayPaused } from '../trainingProgress.js';
import { addSettingOptions, checkSettings, prepareRun, saveInterval, type SettingOptions } from '../trainOptions.js';

interface Options extends SettingOptions, DataOptions {
  resume?: string;
  weights?: string;
  out?: string;
  saveEvery?: NonNullable<SaveOptions['saveEvery']>;
  keep?: number;
  until?: number;
  threads?: number;
  device: string;
  json?: boolean;
}

/** A run that is ready to go on, and where it is saved. */
interface Job {
  run: Run;
  directory: string;
  saveEvery: NonNullable<SaveOptions['saveEvery']>;
  keep: number;
}

const standardSaving = { saveEvery: { epochs: 1 }, keep: 2 };
const beside = [...dataKeys, 'resume', 'saveEvery', 'keep', 'until', 'threads', 'device', 'json'];

export const addTrain: AddCommand = (program) => {
  const command = program
    .command('train')
    .description('train a population of networks on images, and save it on the way');
  addDataOptions(command, 'images to train on');
  addSettingOptions(command);
  command
    .option('--weights <file>', 'first weights of every network: a .pt, .pth or .safetensors file, or .npy files')
    .optionsGroup('Saving and running:')
    .option('--out <dir>', 'where the run is saved (default: runs/MODEL-bBATCH-DATA)')
    .option('--save-every <n>', 'epochs, or steps as in 100steps, between checkpoints (default: 1)', saveInterval)
    .option('--keep <n>', 'checkpoints that stay (default: 2)', integer(1))
    .option('--resume <run>', 'go on with a saved run; its settings come from there')
    .option('--until <step>', 'stop, saved, once this many steps are done', integer(1))
    .option('--threads <n>', 'threads (default: all cores); results do not depend on it', integer(0, 4096))
    .option('--device <name>', 'where it runs: cpu, cuda or cuda:N', device, 'cpu')
    .option('--json', 'print the results as JSON')
    .action(train);
  withExamples(command, [
    ['ptmz train --data digits --width 8 --seeds 0 1 2', 'three ResNet-18s on the digits of this package'],
    ['ptmz train --data cifar10:data --crop 4 --flip 0.5 --epochs 100', 'with augmentation, as the zoos'],
    ['ptmz train --data digits --width 8 --weights model.pt', 'from weights of PyTorch, or of another run'],
    ['ptmz train --resume runs/resnet18-w8-b64-digits', 'go on where it was stopped'],
  ]);
};

async function train(options: Options, command: Command): Promise<void> {
  const began = performance.now();
  const progress = createProgress();
  using interrupt = stopOnInterrupt(progress, 'stopping after this step, to save it');
  let job: Job;
  try {
    job =
      options.resume === undefined
        ? await begin(options, progress, interrupt.signal)
        : await goOn(options, command, progress, interrupt.signal);
  } catch (error) {
    return endEarly(error, progress, interrupt);
  }
  using run = job.run;
  const saved = await trainAndSave(job, options, progress, interrupt);
  report(run, job.directory, saved, secondsSince(began), interrupt.exitCode !== undefined, options.json ?? false);
}

/** A new run, its directory checked and marked with what it was told. */
async function begin(options: Options, progress: Progress, signal: AbortSignal): Promise<Job> {
  const chosen = chooseData(options);
  if (!chosen) throw unexpected('--data', 'a data set, such as digits', 'nothing');
  checkSettings(options);
  const weights = options.weights === undefined ? undefined : readStateDict(options.weights);
  const data = await readData(chosen, progress, signal);
  const run = prepareRun(options, data);
  try {
    if (weights) run.seeds.forEach((_, m) => loadStateDict(run, m, weights));
    const { saveEvery, keep } = { ...standardSaving, ...definedOf(options) };
    const standard = join('runs', `${run.model.name}-b${options.batchSize}-${shortName(chosen.spec)}`);
    const directory = options.out ?? standard;
    using _ = openDirectory(directory, run, keep);
    writeRunFile(directory, { data: savedData(chosen), saveEvery, keep });
    return { run, directory, saveEvery, keep };
  } catch (error) {
    run.dispose();
    throw error;
  }
}

/** A run as it was saved; what was said when it began is still true where nothing else is said. */
async function goOn(options: Options, command: Command, progress: Progress, signal: AbortSignal): Promise<Job> {
  allowOnly(command, '--resume: the settings are those of the saved run', beside);
  const { run, directory, file, chosen } = await openRun(options.resume!, options, progress, signal);
  const { saveEvery, keep } = { ...standardSaving, ...file, ...definedOf(options) };
  if (chosen) {
    using _ = new CheckpointDirectory(directory, run, keep);
    writeRunFile(directory, { data: savedData(chosen), saveEvery, keep });
  }
  return { run, directory, saveEvery, keep };
}

const definedOf = ({ saveEvery, keep }: Options) => ({ ...(saveEvery && { saveEvery }), ...(keep && { keep }) });

const savedData = ({ spec, train, test, size }: ChosenData): DataOptions => ({
  data: formatDataSpec(spec),
  trainSamples: train,
  testSamples: test,
  imageSize: size,
});

/** Makes the directory; refuses one that holds anything of another run, or later steps of this one. */
function openDirectory(directory: string, run: Run, keep: number): CheckpointDirectory {
  try {
    return new CheckpointDirectory(directory, run, keep);
  } catch (cause) {
    if (!(cause instanceof PtmzError) || cause.code !== 'CHECKPOINT_MISMATCH') throw cause;
    const hint = `Choose another --out, or go on from there: ${resumeCommand(directory, run.device)}`;
    throw new PtmzError(cause.code, cause.message, { hint, cause });
  }
}

const resumeCommand = (directory: string, device: string) =>
  `ptmz train --resume ${shellWord(directory)}${deviceOption(device)}`;
const deviceOption = (device: string) => (device === 'cpu' ? '' : ` --device ${device}`);

/** Trains to the end, to `--until` or to Ctrl-C; the last checkpoint of this call. */
async function trainAndSave(
  { run, directory, saveEvery, keep }: Job,
  { until, threads }: Options,
  progress: Progress,
  interrupt: Interrupt,
): Promise<SavedCheckpoint | undefined> {
  if (run.finished) return undefined;
  let saved: SavedCheckpoint | undefined;
  const began = performance.now();
  const networks = formatCount(run.members, 'network');
  progress.begin(`training ${networks} of ${formatCount(run.parameterCount, 'parameter')}`);
  try {
    await run.train({
      signal: interrupt.signal,
      until,
      threads,
      saveTo: directory,
      saveEvery,
      keep,
      onSave: (checkpoint) => (saved = checkpoint),
      onDiskFull: sayPaused(progress),
      onProgress: (p) => {
        const end = Math.min(until ?? Infinity, p.steps);
        // The run's own estimate is for all its steps.
        const eta = p.steps > p.step ? (p.eta * Math.max(0, end - p.step)) / (p.steps - p.step) : 0;
        progress.update(Math.min(1, p.step / end), eta, describeTraining(p));
      },
    });
  } catch (error) {
    progress.stop();
    if (!interrupt.caused(error)) throw error;
  }
  // A signal that came with the last step changes nothing but the exit code.
  if (interrupt.exitCode === undefined) progress.end(formatDuration(secondsSince(began)));
  return saved;
}

function report(
  run: Run,
  directory: string,
  saved: SavedCheckpoint | undefined,
  seconds: number,
  interrupted: boolean,
  json: boolean,
): void {
  const { history, step, finished } = run;
  const steps = run.schedules[0]!.lr.length;
  const members = memberRows(run);
  if (json) {
    const { model, data, ...settings } = run.settings;
    const images = { name: data.name, train: data.train.count, test: data.test?.count ?? 0 };
    const result = {
      directory: resolve(directory),
      checkpoint: saved ? resolve(saved.path) : null,
      ...{ model: model.name, parameters: run.parameterCount, data: images, settings },
      ...{ device: run.device, step, steps, epoch: history.length, finished, interrupted, seconds },
      ...{ warnings: run.warnings, members, history },
    };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } else if (history.length > 0) console.log(`\n${formatTable(memberColumns, members)}\n`);
  const state = finished ? 'done' : 'stopped';
  process.stderr.write(`${state} at step ${step} of ${steps}, epoch ${history.length} of ${run.settings.epochs}\n`);
  if (saved) process.stderr.write(`saved: ${saved.path}\n`);
  if (finished)
    process.stderr.write(`measure it with: ptmz measure ${shellWord(directory)}${deviceOption(run.device)}\n`);
  else if (step > 0) process.stderr.write(`go on with: ${resumeCommand(directory, run.device)}\n`);
}
