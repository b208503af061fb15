/** runZoo: trains and measures the cells of a zoo that are missing. */
import { existsSync } from 'node:fs';
import { requireDevice } from '../device.js';
import { callNative, PtmzError } from '../errors.js';
import type { DiskFullError } from '../formats/diskSpace.js';
import { hessianEigenvalues, type EigenvalueProgress } from '../landscape/eigenvalues.js';
import { hessianTrace, type TraceProgress } from '../landscape/hessian.js';
import { loadNative } from '../load.js';
import { listCheckpoints } from '../train/checkpoints.js';
import { loadRun } from '../train/loadRun.js';
import { prepareResNet } from '../train/trainResNet.js';
import type { TrainProgress } from '../train/progress.js';
import type { Run } from '../train/run.js';
import { Survivors } from '../train/survivors.js';
import { cellsOf, type Cell, type Grid } from './grid.js';
import { describeCell, type Curvature, type ResultLine } from './resultLine.js';
import type { ZooStore } from './store.js';
import { stageCost, stages, usualSteps, Workload, type Stage } from './workload.js';

/** What is under way, and where it is. */
export type StageProgress =
  | { stage: 'training'; own: TrainProgress }
  | { stage: 'trace'; own: TraceProgress }
  | { stage: 'eigenvalue'; own: EigenvalueProgress };

/** Where the whole zoo is. */
export type ZooProgress = StageProgress & {
  cell: Cell;
  /** Of the whole zoo, with the cells that were finished before. */
  fraction: number;
  /** Expected seconds to the end of the whole zoo. */
  eta: number;
};

/** What {@link runZoo} tells, and how it is stopped. */
export interface ZooOptions {
  /** `cpu` (default), `cuda` or `cuda:N`. A cell that was begun on another one goes on, with a warning. */
  device?: string;
  /** Stops within milliseconds; what is under way is saved, and the promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  onBegin?: (cell: Cell, position: number, cells: number) => void;
  onProgress?: (progress: ZooProgress) => void;
  onFinish?: (cell: Cell, lines: readonly ResultLine[]) => void;
  /** A training pauses; without it the process warns. */
  onDiskFull?: (error: DiskFullError) => void;
  /** What a user should know, such as a damaged checkpoint that was passed over. */
  onWarning?: (message: string) => void;
}

/**
 * Cells that are at work at the same time: as many as jobs run side by side.
 *
 * @throws PtmzError `INVALID_ARGUMENT` where `PTMZ_CUDA_JOBS` is no number of jobs
 */
export const cellsAtOnce = (device: string): number => callNative(() => loadNative().jobsAtOnce(device));

/**
 * Trains and measures what is missing in `store`: on the CPU cell after cell, on a device several side by side. If one
 * fails, the others stop and are saved.
 *
 * @throws PtmzError `INVALID_ARGUMENT` or `CUDA_UNAVAILABLE` for the device, or the number of jobs, before any work;
 * those of training, measures and files; with an aborted signal it rejects with `signal.reason`
 */
export async function runZoo(store: ZooStore, options: ZooOptions = {}): Promise<void> {
  const device = requireDevice('device', options.device ?? 'cpu');
  const atOnce = cellsAtOnce(device);
  const { grid } = store;
  const cells = cellsOf(grid);
  const cost = (some: readonly Cell[]) =>
    some.flatMap((cell) => stages.map((stage) => stageCost(grid, cell, stage))).reduce((sum, c) => sum + c, 0);
  const work = new Workload(cost(cells), cost(cells.filter((cell) => store.isFinished(cell))));
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const left = cells.entries();
  // Those who call this share the cells that are left.
  const takeCells = async () => {
    for (const [index, cell] of left) {
      if (store.isFinished(cell)) continue;
      signal.throwIfAborted();
      options.onBegin?.(cell, index + 1, cells.length);
      using run = await prepareCell(store, cell, device);
      run.warnings.forEach((warning) => options.onWarning?.(warning));
      const job = new CellJob(grid, cell, run, work, { ...options, signal });
      await job.train(store.checkpoints(cell));
      const lines = describeCell(grid, cell, run, await job.measure());
      store.finish(cell, lines);
      options.onFinish?.(cell, lines);
    }
  };
  const takers = Array.from({ length: atOnce }, () => takeCells().catch((error) => stop.abort(error)));
  await Promise.all(takers);
  stop.signal.throwIfAborted(); // with the first error
}

/** The population of a cell as it was saved, or a new one. */
async function prepareCell(store: ZooStore, cell: Cell, device: string): Promise<Run> {
  const { grid } = store;
  const directory = store.checkpoints(cell);
  if (existsSync(directory) && listCheckpoints(directory).length > 0)
    return loadRun(directory, { data: grid.data, device });
  const { data, epochs, seeds, lr } = grid;
  return prepareResNet({ depth: 18, width: cell.width, data, batchSize: cell.batchSize, epochs, seeds, lr, device });
}

/** The stages of one cell, counted in the work of the whole zoo. */
class CellJob {
  constructor(
    readonly grid: Grid,
    readonly cell: Cell,
    readonly run: Run,
    readonly work: Workload,
    readonly options: ZooOptions,
  ) {}

  /** Says where a stage is, with this much of the work done since it began. */
  #report(progress: StageProgress, done: number): void {
    this.options.onProgress?.({ cell: this.cell, ...progress, ...this.work.progress(this, done) });
  }

  /** Trains what is left to train, and saves every epoch. */
  async train(saveTo: string): Promise<void> {
    const { run, work } = this;
    const whole = stageCost(this.grid, this.cell, 'training');
    const before = run.finished ? 1 : run.step / run.schedules[0]!.lr.length;
    work.skip(whole * before);
    const { signal, onDiskFull } = this.options;
    await run.train({
      signal,
      saveTo,
      keep: 1,
      onDiskFull,
      onProgress: (own) => this.#report({ stage: 'training', own }, whole * (own.step / own.steps - before)),
    });
    work.finish(this, whole * (1 - before));
  }

  /** The curvature of every member that has not diverged. */
  async measure(): Promise<Curvature> {
    const { grid, options } = this;
    const { samples, probes, steps, tolerance } = grid.hessian;
    const shared = { signal: options.signal, samples };
    using survivors = new Survivors(this.run);
    const trace = await this.#measured('trace', survivors, (run, cost) =>
      hessianTrace(run, grid.data.train, {
        ...shared,
        probes,
        onProgress: (own) => this.#report({ stage: 'trace', own }, cost * own.fraction),
      }),
    );
    const top = await this.#measured('eigenvalue', survivors, (run, cost) =>
      hessianEigenvalues(run, grid.data.train, {
        ...shared,
        steps,
        tolerance,
        onProgress: (own) => {
          const part = (own.member + Math.min(1, own.step / usualSteps)) / own.members;
          this.#report({ stage: 'eigenvalue', own }, cost * part);
        },
      }),
    );
    return {
      trace: survivors.ofAll(trace?.trace ?? []),
      traceError: survivors.ofAll(trace?.standardError ?? []),
      topEigenvalue: survivors.ofAll(top?.eigenvalues.map(([value]) => value!) ?? []),
      topResidual: survivors.ofAll(top?.residuals.map(([value]) => value!) ?? []),
    };
  }

  async #measured<T>(stage: Stage, survivors: Survivors, measure: (run: Run, cost: number) => Promise<T>) {
    const cost = stageCost(this.grid, this.cell, stage);
    try {
      return survivors.members.length > 0 ? await measure(survivors.run, cost) : undefined;
    } catch (error) {
      // Parameters near overflow, before a member diverged: there is no curvature, but the zoo goes on.
      if (!(error instanceof PtmzError) || error.code !== 'NON_FINITE') throw error;
      this.options.onWarning?.(`${this.cell.name}: no ${stage}: ${error.message}`);
      return undefined;
    } finally {
      this.work.finish(this, cost);
    }
  }
}
