/** `ptmz train`: trains a population on any data set, saves it on the way, and goes on with one that was stopped. */
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { formatDataSpec, kindOf, shortName } from '../../data/registry.js';
import { requireDevice } from '../../device.js';
import { PtmzError, unexpected } from '../../errors.js';
import { readStateDict } from '../../formats/stateDict.js';
import { isProblem, sampleShape } from '../../models/trainable.js';
import { CheckpointDirectory } from '../../train/checkpoints.js';
import { loadStateDict } from '../../train/loadState.js';
import type { Run } from '../../train/run.js';
import type { SavedCheckpoint, SaveOptions } from '../../train/saving.js';
import { withExamples, type AddCommand } from '../command.js';
import {
  addDataOptions,
  chooseData,
  dataFlag,
  dataKeys,
  readData,
  type ChosenData,
  type DataOptions,
} from '../dataOptions.js';
import { endEarly, stopOnInterrupt, type Interrupt } from '../interrupt.js';
import { memberColumns, memberRows } from '../members.js';
import { allowOnly, device, givenOptions, integer, shellWord } from '../options.js';
import { createProgress, secondsSince, type Progress } from '../progress.js';
import { writeRunFile } from '../runFile.js';
import { openRun } from '../savedRun.js';
import { formatCount, formatDuration, formatTable } from '../table.js';
import { describeTraining, sampleNoun, sayPaused } from '../trainingProgress.js';
import { addSettingOptions, checkSettings, prepareRun, saveInterval, type Settings } from '../trainOptions.js';

interface Options extends DataOptions {
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
  const command = program.command('train').description('train a population of networks, and save it on the way');
  addDataOptions(command, 'images or text to train on');
  addSettingOptions(command);
  command
    .optionsGroup('Network:')
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
    ['ptmz train --preset cifar10ViT --dim 48 --batch-size 128 --data cifar10:data', 'a cell of a published zoo'],
    ['ptmz train --model gpt2 --data text:book.txt --block 128', 'a GPT-2 on the characters of a text'],
    ['ptmz train --model pinn --beta 1 10 30 --seeds 0 0 0', 'three equations as one population'],
    ['ptmz train --model pinn --equation burgers --nu 0.1 0.01 --seeds 0 0', "two viscosities of Burgers' equation"],
    ['ptmz train --data cifar10:data --crop 4 --flip 0.5 --epochs 100', 'with augmentation'],
    ['ptmz train --data digits --width 8 --weights model.pt', 'from weights of PyTorch, or of another run'],
    ['ptmz train --resume runs/resnet18-w8-b64-digits', 'go on where it was stopped'],
  ]);
};

async function train(options: Options, command: Command): Promise<void> {
  const began = performance.now();
  requireDevice('--device', options.device);
  const progress = createProgress();
  using interrupt = stopOnInterrupt(progress, 'stopping after this step, to save it');
  let job: Job;
  try {
    job =
      options.resume === undefined
        ? await begin(options, command, progress, interrupt.signal)
        : await goOn(options, command, progress, interrupt.signal);
  } catch (error) {
    return endEarly(error, progress, interrupt);
  }
  using run = job.run;
  const saved = await trainAndSave(job, options, progress, interrupt);
  report(run, job.directory, saved, secondsSince(began), interrupt.exitCode !== undefined, options.json ?? false);
}

/** A new run, its directory checked and marked with what it was told. */
async function begin(options: Options, command: Command, progress: Progress, signal: AbortSignal): Promise<Job> {
  const settings = checkSettings(givenOptions(command));
  const chosen = chooseSamples(options, settings);
  const weights = options.weights === undefined ? undefined : readStateDict(options.weights);
  const data = chosen && (await readData(chosen, progress, signal));
  const run = prepareRun(settings, data, options.device);
  try {
    if (weights) run.seeds.forEach((_, m) => loadStateDict(run, m, weights));
    const { saveEvery, keep } = { ...standardSaving, ...definedOf(options) };
    const directory = options.out ?? join('runs', standardName(run, chosen));
    using _ = openDirectory(directory, run, keep);
    writeRunFile(directory, { data: savedData(chosen), saveEvery, keep });
    return { run, directory, saveEvery, keep };
  } catch (error) {
    run.dispose();
    throw error;
  }
}

/** The data that the network takes; undefined where it has its own points. */
function chooseSamples(options: Options, { network, takes, block }: Settings): ChosenData | undefined {
  if (takes === 'nothing') {
    const odd = dataKeys.find((key) => options[key] !== undefined);
    if (odd === undefined) return undefined;
    throw unexpected(dataFlag(odd), `nothing beside --model ${network}`, String(options[odd]));
  }
  const chosen = chooseData(options, takes === 'text' ? { block } : {});
  if (!chosen) throw unexpected('--data', `${takes}, such as ${takes === 'text' ? 'text:FILE' : 'digits'}`, 'nothing');
  const kind = kindOf(chosen.spec);
  if (kind !== takes) throw unexpected('--data', `${takes} for --model ${network}`, `${kind}: ${chosen.spec.name}`);
  return chosen;
}

const standardName = ({ model, settings }: Run, chosen: ChosenData | undefined): string =>
  chosen ? `${model.name}-b${settings.batchSize}-${shortName(chosen.spec)}` : model.name;

/** A run as it was saved; what was said when it began is still true where nothing else is said. */
async function goOn(options: Options, command: Command, progress: Progress, signal: AbortSignal): Promise<Job> {
  allowOnly(command, '--resume: the settings are those of the saved run', beside);
  const { run, directory, file, chosen } = await openRun(options.resume!, options, progress, signal);
  const { saveEvery, keep } = { ...standardSaving, ...file, ...definedOf(options) };
  if (chosen || file?.data === null) {
    using _ = new CheckpointDirectory(directory, run, keep);
    writeRunFile(directory, { data: savedData(chosen), saveEvery, keep });
  }
  return { run, directory, saveEvery, keep };
}

const definedOf = ({ saveEvery, keep }: Options) => ({ ...(saveEvery && { saveEvery }), ...(keep && { keep }) });

const savedData = (chosen: ChosenData | undefined): DataOptions | null =>
  chosen
    ? {
        data: formatDataSpec(chosen.spec),
        trainSamples: chosen.train,
        testSamples: chosen.test,
        imageSize: chosen.size,
        block: chosen.block,
      }
    : null;

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
        progress.update(Math.min(1, p.step / end), eta, describeTraining(p, sampleNoun(run.model)));
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
    const samples = isProblem(model)
      ? null
      : { name: data.name, train: data.train.count, test: data.test?.count ?? 0, classes: sampleShape(model).classes };
    const result = {
      directory: resolve(directory),
      checkpoint: saved ? resolve(saved.path) : null,
      ...{ model: model.name, parameters: run.parameterCount, data: samples, settings },
      ...{ device: run.device, step, steps, epoch: history.length, finished, interrupted, seconds },
      ...{ warnings: run.warnings, members, history },
    };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } else if (history.length > 0) console.log(`\n${formatTable(memberColumns(run), members)}\n`);
  const state = finished ? 'done' : 'stopped';
  process.stderr.write(`${state} at step ${step} of ${steps}, epoch ${history.length} of ${run.settings.epochs}\n`);
  if (saved) process.stderr.write(`saved: ${saved.path}\n`);
  if (finished)
    process.stderr.write(`measure it with: ptmz measure ${shellWord(directory)}${deviceOption(run.device)}\n`);
  else if (step > 0) process.stderr.write(`go on with: ${resumeCommand(directory, run.device)}\n`);
}
