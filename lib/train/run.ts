/** Run: a population of models in training, and afterwards - its parameters, history and state, in native memory. */
import { checkInteger, checkObject, checkString, invalidArgument, PtmzError } from '../errors.js';
import type { DataSet } from '../data/dataset.js';
import type { Split } from '../data/split.js';
import type { Flat, FlatEntry } from '../graph/flat.js';
import { initialise } from '../graph/initialise.js';
import { elementCount } from '../graph/shape.js';
import { Vector } from '../graph/vector.js';
import { loadNative } from '../load.js';
import { ProblemSplit } from '../models/problem.js';
import { buildBatch, sampleShape, windowOf, type Trainable } from '../models/trainable.js';
import type { Precision } from '../precision.js';
import { nativeAugment, type AugmentSettings } from './augment.js';
import { BatchPrograms, evaluationProgram, trainingProgram, type RealType } from './batches.js';
import { CheckpointDirectory } from './checkpoints.js';
import { saveWithPatience } from './diskPause.js';
import { awaitJob, type JobOptions } from './job.js';
import { cycledMomentum, lbfgsColumns, nativeOptimizer, type OptimizerSettings } from './optimizers.js';
import { toProgress, toRecord, type EpochRecord, type TrainProgress } from './progress.js';
import { nativeRandomOps } from './randomOps.js';
import { createVectors, type RunVectors } from './runVectors.js';
import { checkSaveOptions, saveKeys, type SavedCheckpoint, type SaveOptions, type SavePlan } from './saving.js';
import { scheduleTable, type Schedule, type ScheduleName, type ScheduleTable } from './schedules.js';

/** Settings of a {@link Run}, complete and checked; see {@link TrainOptions}. */
export interface RunSettings {
  model: Trainable;
  data: DataSet<Split>;
  batchSize: number;
  evaluationBatch: number;
  epochs: number;
  seeds: readonly number[];
  lr: readonly number[];
  optimizer: OptimizerSettings;
  schedule: ScheduleName | Schedule;
  evaluateEvery: number;
  dtype: RealType;
  /** Where it is less than float32. */
  precision?: Precision;
  shuffle: boolean;
  augment: AugmentSettings;
  accumulate?: number;
  labelSmoothing?: number;
  decay?: 'all' | 'matrices';
  clip?: number;
  average?: number;
  compat?: 'ptmz';
  /** Of problems: per member, by name. */
  constants?: Record<string, readonly number[]>;
  stepsPerEpoch?: number;
  /** SHA-256 of each member's first parameters and buffers where {@link loadStateDict} gave them, or null. */
  weights?: readonly (string | null)[];
}

/** One tensor of a member. */
export interface StateTensor {
  shape: number[];
  dtype: RealType | 'int64';
  data: Float32Array | Float64Array | BigInt64Array;
}

/** What {@link Run.train} takes. */
export interface RunTrainOptions extends JobOptions, SaveOptions {
  /** Stop when this many steps are done, of all that the run has; a later `train` goes on. Default: all. */
  until?: number;
  /** Called at most 30 times a second; of a training on a GPU once a second, as it waits for that. */
  onProgress?: (progress: TrainProgress) => void;
}

/**
 * A population of members of one model that were trained, or are being trained, on one data set. Its memory is native;
 * `dispose()` gives it back.
 *
 * @example
 * ```ts
 * import { digits, trainResNet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0, 1] });
 * run.history[0]?.testAccuracy; // one number per member
 * run.stateDict(0)['fc.weight']?.shape; // [10, 16]
 * ```
 */
export class Run implements Disposable {
  readonly model: Trainable;
  readonly data: DataSet<Split>;
  readonly seeds: readonly number[];
  readonly settings: Readonly<RunSettings>;
  /** Learning rate and momentum of every step, for each member. */
  readonly schedules: readonly ScheduleTable[];
  /** Number of trained values of a member. */
  readonly parameterCount: number;
  /** Where parameters and buffers lie in their vectors. @internal */
  readonly layout: { params: readonly FlatEntry[]; buffers: readonly FlatEntry[] };
  /** Of a loaded run: what its numbers depend on has changed, or a damaged checkpoint was passed over. */
  warnings: readonly string[] = [];
  #vectors: RunVectors | null;
  #training: BatchPrograms | null = null;
  readonly #evaluation = new Map<string, BatchPrograms>();
  #records: EpochRecord[] = [];
  #busy = false;

  /** Use {@link prepare}, {@link train} or {@link trainResNet}. @internal */
  constructor(
    settings: RunSettings,
    /** Where it is trained, evaluated and measured: `cpu` or `cuda:N`. Its numbers are those of the CPU within rounding. */
    readonly device: string = 'cpu',
  ) {
    this.settings = settings;
    const { model, data, seeds, dtype, batchSize, epochs, constants = {} } = settings;
    this.model = model;
    this.data = data;
    this.seeds = [...seeds];
    const { lr, schedule, optimizer } = settings;
    const momentum = cycledMomentum(optimizer);
    // The published accumulation had a table for all batches, of which it used one entry per step.
    const steps = epochs * (settings.compat ? Math.ceil(data.train.count / batchSize) : this.stepsPerEpoch);
    this.schedules = lr.map((peak) => scheduleTable(schedule, { steps, lr: peak, momentum }));
    using graph = buildBatch(model, Math.min(batchSize, data.train.count), {
      ...windowOf(data.train),
      training: true,
    }).graph;
    const { params, buffers } = graph;
    if (params.entries.length === 0)
      throw new PtmzError('INVALID_ARGUMENT', `${model.name}.build: expected at least one parameter`);
    this.layout = { params: withoutValues(params), buffers: withoutValues(buffers) };
    this.parameterCount = params.count;
    if (optimizer.kind === 'lbfgs' && graph.updates)
      throw new PtmzError(
        'INVALID_ARGUMENT',
        `${model.name}: expected no running statistics with the optimizer 'lbfgs', which evaluates more than once a step`,
      );
    this.#vectors = createVectors({
      ...{ members: seeds.length, epochs, dtype, device, optimizer, params: params.size },
      buffers: buffers.entries.length > 0 ? buffers.size : 0,
      average: settings.average !== undefined,
    });
    const { params: theta, buffers: running } = this.#vectors;
    initialise(graph, running ? { params: theta, buffers: running } : { params: theta }, seeds);
    for (const [name, values] of Object.entries(constants))
      values.forEach((value, m) => running!.set(m, [value], buffers.get(name).offset));
  }

  /** Optimiser steps in an epoch. */
  get stepsPerEpoch(): number {
    const { batchSize, accumulate = 1, compat, stepsPerEpoch } = this.settings;
    if (stepsPerEpoch !== undefined) return stepsPerEpoch;
    const steps = Math.ceil(this.data.train.count / batchSize) / accumulate;
    return compat ? Math.floor(steps) : Math.ceil(steps);
  }

  /** Number of members. */
  get members(): number {
    return this.seeds.length;
  }

  /** Elements of a vector laid out as a member's parameters, with the gaps between tensors. */
  get vectorSize(): number {
    return this.#live.params.size;
  }

  /** The population's vectors. @internal */
  get vectors(): RunVectors {
    return this.#live;
  }

  get #live() {
    if (this.#vectors) return this.#vectors;
    throw new PtmzError('DISPOSED', 'The run was disposed');
  }

  /** One record per finished epoch. */
  get history(): readonly EpochRecord[] {
    if (!this.#busy) this.#readHistory();
    return this.#records;
  }

  /** Optimiser steps finished. */
  get step(): number {
    return this.#live.state.toArray(0)[0]!;
  }

  /** Whether all epochs are done, or every member has diverged or converged. */
  get finished(): boolean {
    if (this.#epochsDone === this.settings.epochs) return true;
    const { converged } = this;
    return this.divergedAt.every((step, m) => step !== null || converged[m]);
  }

  /** Per member: whether a tolerance of L-BFGS is met. */
  get converged(): boolean[] {
    const { search } = this.#live;
    return this.seeds.map((_, m) => search !== null && search.toArray(m)[lbfgsColumns.done] !== 0);
  }

  /** Per member: evaluations of loss and gradient that L-BFGS made; null for other optimizers. */
  get evaluations(): number[] | null {
    const { search } = this.#live;
    return search && this.seeds.map((_, m) => search.toArray(m)[lbfgsColumns.evaluations]!);
  }

  /** Per member: the step (from 0) whose loss, gradient or update was not finite, or null. The state before it is kept. */
  get divergedAt(): (number | null)[] {
    return this.seeds.map((_, m) => {
      const step = this.#live.state.toArray(m)[4]!;
      return step < 0 ? null : step;
    });
  }

  // Of the state itself: the records of a loaded run are read when they are asked for.
  get #epochsDone(): number {
    return this.#live.state.toArray(0)[1]!;
  }

  #readHistory(): void {
    const { history } = this.#live;
    while (this.#records.length < this.#epochsDone) {
      const row = history.toArray(this.#records.length);
      this.#records.push(toRecord(this.#records.length + 1, Array.from(row)));
    }
  }

  /**
   * Trains until the last epoch is done. After an abort the run holds whole steps and `train` goes on from there; the
   * result is the same as without the interruption. With `saveTo` it saves itself on the way, at the end, and before it
   * rejects because of an aborted signal; a full disk makes it pause (see `whenDiskFull`). Where no step is left to do it
   * returns at once and saves nothing; `save` does.
   *
   * @throws PtmzError `BUSY` while a job uses this run, `OUT_OF_MEMORY`, `INDEX_OUT_OF_RANGE`, `DISPOSED`; of `saveTo`
   * `BUSY` while another run is saved there, `NOT_WRITABLE`, `CHECKPOINT_MISMATCH`, `DISK_FULL`, `IO_ERROR`; with an
   * aborted signal it rejects with `signal.reason`
   */
  async train(options: RunTrainOptions = {}): Promise<this> {
    checkObject('options', options, ['signal', 'threads', 'memoryLimit', 'until', 'onProgress', ...saveKeys]);
    const until = checkInteger('until', options.until ?? Number.MAX_SAFE_INTEGER, 1);
    const job = checkJobOptions(options);
    const { onProgress } = options;
    if (onProgress !== undefined && typeof onProgress !== 'function')
      throw invalidArgument('onProgress', 'a function', onProgress);
    const plan = checkSaveOptions(options, this.stepsPerEpoch);
    if (this.#busy) throw new PtmzError('BUSY', 'This run is in training');
    using directory = plan && new CheckpointDirectory(plan.directory, this, plan.keep);
    if (this.finished || this.step >= until) return this;
    const { settings, data, members } = this;
    const vectors = this.#live;
    const { model, batchSize, labelSmoothing = 0 } = settings;
    const { input, classes } = sampleShape(model);
    this.#training ??= new BatchPrograms(data.train.count, batchSize, (batch) =>
      trainingProgram(model, batch, settings, vectors, { labelSmoothing, ...windowOf(data.train) }),
    );
    const training = this.#training.native;
    const test = data.test ? this.evaluationPrograms(data.test).native : { batch: null, tail: null };
    const began = performance.now();
    const firstStep = this.step;
    const report = (fields: number[]) => {
      const progress = toProgress(fields, members, (performance.now() - began) / 1000, firstStep);
      if (progress.last && progress.last.epoch === this.#records.length + 1) this.#records.push(progress.last);
      onProgress!(progress);
    };
    const steps = this.stepsPerEpoch * settings.epochs;
    using lr = rows(this.schedules.map((table) => table.lr.slice(0, steps)));
    using momentum = rows([this.schedules[0]!.momentum.slice(0, steps)]);
    this.#busy = true;
    const trainUntil = (stepLimit: number) =>
      awaitJob(
        () =>
          loadNative().train(
            {
              ...training,
              testBatch: test.batch,
              testTail: test.tail,
              train: { ...data.train.native, ops: nativeRandomOps(settings.augment, input[0] ?? 1) },
              test: data.test?.native ?? null,
              params: vectors.params.native,
              velocity: vectors.velocity.native,
              secondMoment: vectors.secondMoment?.native ?? null,
              pairs: vectors.pairs?.native ?? null,
              search: vectors.search?.native ?? null,
              average: vectors.average?.native ?? null,
              buffers: vectors.buffers?.native ?? null,
              state: vectors.state.native,
              history: vectors.history.native,
              ranges: parameterRanges(this.layout.params, settings.decay),
              seeds: [...this.seeds],
              lr: lr.native,
              momentum: momentum.native,
              ...nativeOptimizer(settings.optimizer, members),
              clip: settings.clip ?? 0,
              averageDecay: settings.average ?? 0,
              accumulate: settings.accumulate ?? 1,
              carryLeftover: settings.compat === 'ptmz',
              augment: nativeAugment(settings.augment, input[1] ?? 1, input[2] ?? 1),
              shuffle: settings.shuffle,
              evaluateEvery: settings.evaluateEvery,
              stepLimit,
              classes,
              ...job,
            },
            onProgress && report,
          ),
        options.signal,
      );
    try {
      const save = plan && directory && (() => saveWithPatience(() => directory.save(), plan, options.signal));
      await this.#trainInPieces(trainUntil, until, plan, save);
    } finally {
      this.#busy = false;
    }
    return this;
  }

  /** Calls `trainUntil` with the steps at which a checkpoint is due; saves there and where it is stopped. */
  async #trainInPieces(
    trainUntil: (stepLimit: number) => Promise<unknown>,
    until: number,
    plan: SavePlan | undefined,
    save: (() => Promise<string>) | undefined,
  ): Promise<void> {
    const finishPiece = async () => {
      this.#readHistory();
      const path = await save?.();
      if (path !== undefined) plan!.onSave?.({ path, step: this.step, epoch: this.#records.length });
    };
    while (!this.finished && this.step < until) {
      const firstStep = this.step;
      const interval = plan?.interval ?? Infinity;
      const due = (Math.floor(firstStep / interval) + 1) * interval;
      try {
        await trainUntil(Math.min(due, until));
      } catch (error) {
        if (this.step > firstStep) await finishPiece();
        throw error;
      }
      await finishPiece();
    }
  }

  /**
   * Saves the run as a checkpoint in a directory, beside those that are there; {@link loadRun} loads the newest. When
   * the promise resolves, the checkpoint survives a power cut.
   *
   * @throws PtmzError `BUSY`, `DISPOSED`, `NOT_WRITABLE`, `DISK_FULL`, `IO_ERROR`, and `CHECKPOINT_MISMATCH` where the
   * directory holds checkpoints of another run, or later ones of this run
   */
  async save(directory: string): Promise<SavedCheckpoint> {
    checkString('directory', directory);
    if (this.#busy) throw new PtmzError('BUSY', 'This run is in training');
    using target = new CheckpointDirectory(directory, this, Infinity);
    const path = target.save();
    return { path, step: this.step, epoch: this.history.length };
  }

  /** Programs that evaluate all members on as many samples as the split has; kept. @internal */
  evaluationPrograms(split: Split): BatchPrograms {
    const { model, evaluationBatch } = this.settings;
    const part = split instanceof ProblemSplit ? split.part : 'loss';
    const mode = { part, ...windowOf(split) };
    const key = `${part}:${split.shape.join()}`;
    let programs = this.#evaluation.get(key);
    if (!programs) {
      const make = (batch: number) => evaluationProgram(model, batch, this.settings, this.#live, mode);
      programs = new BatchPrograms(split.count, evaluationBatch, make);
      this.#evaluation.set(key, programs);
    }
    return programs;
  }

  /**
   * Parameters and buffers of a member under their state-dict names (torchvision's, for a ResNet). Copies.
   *
   * @param options `average: true` takes the moving average of the parameters, of a run that has one
   */
  stateDict(member: number, options: { average?: boolean } = {}): Record<string, StateTensor> {
    checkInteger('member', member, 0, this.members - 1);
    checkObject('options of stateDict', options, ['average']);
    const { buffers, state, average } = this.#live;
    if (options.average && !average)
      throw new PtmzError('INVALID_ARGUMENT', 'stateDict: expected a run with `average` for average: true');
    const params = options.average ? average! : this.#live.params;
    const { dtype } = this.settings;
    const dict: Record<string, StateTensor> = {};
    const put = (entries: readonly FlatEntry[], vector: Vector) => {
      const row = vector.toArray(member) as Float32Array | Float64Array;
      for (const { name, offset, shape } of entries.filter(({ persistent }) => persistent))
        dict[name] = { shape: [...shape], dtype, data: row.slice(offset, offset + elementCount(shape)) };
    };
    put(this.layout.params, params);
    if (buffers) put(this.layout.buffers, buffers);
    // What torch's BatchNorm counts beside its statistics.
    const [step, , , , divergedAt] = state.toArray(member) as unknown as number[];
    const batches = BigInt(divergedAt! < 0 ? step! : divergedAt!);
    for (const name of Object.keys(dict)) {
      if (!name.endsWith('running_var')) continue;
      const counter = `${name.slice(0, -'running_var'.length)}num_batches_tracked`;
      dict[counter] = { shape: [], dtype: 'int64', data: BigInt64Array.of(batches) };
    }
    return dict;
  }

  /** Makes the first values that a member was given part of the run's identity. @internal */
  recordWeights(member: number, sha256: string): void {
    const { weights = this.seeds.map(() => null) } = this.settings;
    (this.settings as RunSettings).weights = weights.map((known, m) => (m === member ? sha256 : known));
  }

  /** Gives all native memory back; a running job keeps what it uses until it ends. */
  dispose(): void {
    this.#training?.dispose();
    this.#evaluation.forEach((programs) => programs.dispose());
    this.#evaluation.clear();
    for (const vector of Object.values(this.#vectors ?? {})) vector?.dispose();
    this.#training = this.#vectors = null;
  }
  /** {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function rows(values: readonly number[][]): Vector {
  const vector = new Vector('float64', values.length, values[0]!.length);
  values.forEach((row, m) => vector.set(m, row));
  return vector;
}

function withoutValues(flat: Flat): FlatEntry[] {
  return flat.entries.map((entry) => ({ ...entry, value: null }));
}

/** begin, end, decays for each tensor. @internal */
export function parameterRanges(
  entries: readonly FlatEntry[],
  which: RunSettings['decay'] | 'model' = 'model',
): number[] {
  const decays = ({ shape, decay }: FlatEntry) => which === 'all' || (which === 'matrices' ? shape.length >= 2 : decay);
  return entries.flatMap((entry) => {
    const { offset, shape } = entry;
    return [offset, offset + elementCount(shape), decays(entry) ? 1 : 0];
  });
}

/** @internal */
export function checkJobOptions({ signal, threads = 0, memoryLimit = 0 }: JobOptions) {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalidArgument('signal', 'an AbortSignal', signal);
  return {
    threads: checkInteger('threads', threads, 0, 4096),
    memoryLimit: checkInteger('memoryLimit', memoryLimit, 0),
  };
}
