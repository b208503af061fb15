/** runZoo: trains and measures the cells of a zoo that are missing, one after the other. */
import { existsSync } from 'node:fs';
import { PtmzError } from '../errors.js';
import { hessianEigenvalues } from '../landscape/eigenvalues.js';
import { hessianTrace } from '../landscape/hessian.js';
import { listCheckpoints } from '../train/checkpoints.js';
import { loadRun } from '../train/loadRun.js';
import { prepareResNet } from '../train/presets.js';
import type { Run } from '../train/run.js';
import { cellsOf, type Cell, type Grid } from './grid.js';
import { describeCell, type Curvature, type ResultLine } from './resultLine.js';
import type { ZooStore } from './store.js';
import { stageCost, stages, usualSteps, Workload, type Stage } from './workload.js';

/** Where the whole zoo is, and what is under way. */
export interface ZooProgress {
  cell: Cell;
  stage: Stage;
  /** Of the whole zoo, with the cells that were finished before. */
  fraction: number;
  /** Expected seconds to the end of the whole zoo. */
  eta: number;
  /** Short facts for people, such as the losses. */
  details: string;
}

/** What {@link runZoo} tells, and how it is stopped. */
export interface ZooOptions {
  /** Stops within milliseconds; the cell under way is saved, and the promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  onBegin?: (cell: Cell, position: number, cells: number) => void;
  onProgress?: (progress: ZooProgress) => void;
  onFinish?: (cell: Cell, lines: readonly ResultLine[]) => void;
  /** What a user should know, such as a damaged checkpoint that was passed over. */
  onWarning?: (message: string) => void;
}

/**
 * Trains and measures what is missing in `store`. Each cell uses all cores: jobs take turns on the device, so cells side
 * by side would gain nothing.
 *
 * @throws PtmzError of training, measures and files; with an aborted signal it rejects with `signal.reason`
 */
export async function runZoo(store: ZooStore, options: ZooOptions = {}): Promise<void> {
  const { grid } = store;
  const cells = cellsOf(grid);
  const cost = (some: readonly Cell[]) =>
    some.flatMap((cell) => stages.map((stage) => stageCost(grid, cell, stage))).reduce((sum, c) => sum + c, 0);
  const work = new Workload(cost(cells), cost(cells.filter((cell) => store.isFinished(cell))));
  for (const [index, cell] of cells.entries()) {
    if (store.isFinished(cell)) continue;
    options.signal?.throwIfAborted();
    options.onBegin?.(cell, index + 1, cells.length);
    using run = await prepareCell(store, cell);
    run.warnings.forEach((warning) => options.onWarning?.(warning));
    const job = new CellJob(grid, cell, run, work, options);
    await job.train(store.checkpoints(cell));
    const lines = describeCell(grid, cell, run, await job.measure());
    store.finish(cell, lines);
    options.onFinish?.(cell, lines);
  }
}

/** The population of a cell as it was saved, or a new one. */
async function prepareCell(store: ZooStore, cell: Cell): Promise<Run> {
  const { grid } = store;
  const directory = store.checkpoints(cell);
  if (existsSync(directory) && listCheckpoints(directory).length > 0) return loadRun(directory, { data: grid.data });
  const { data, epochs, seeds, lr } = grid;
  return prepareResNet({ depth: 18, width: cell.width, data, batchSize: cell.batchSize, epochs, seeds, lr });
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

  /** Says how far a stage is; its cost is what of it is left to do. */
  #reporter(stage: Stage, cost: number) {
    return (part: number, details: string) =>
      this.options.onProgress?.({ cell: this.cell, stage, details, ...this.work.progress(cost * part) });
  }

  get #signal(): { signal?: AbortSignal } {
    return this.options.signal ? { signal: this.options.signal } : {};
  }

  /** Trains what is left to train, and saves every epoch. */
  async train(saveTo: string): Promise<void> {
    const { run, work } = this;
    const whole = stageCost(this.grid, this.cell, 'training');
    const before = run.finished ? 1 : run.step / run.schedules[0]!.lr.length;
    work.skip(whole * before);
    const report = this.#reporter('training', whole);
    await run.train({
      ...this.#signal,
      saveTo,
      keep: 1,
      onProgress: (p) => {
        const speed = `${Math.round(p.samplesPerSecond).toLocaleString('en')} images/s`;
        report(p.step / p.steps - before, `epoch ${p.epoch}/${p.epochs}  loss ${short(p.loss)}  ${speed}`);
      },
    });
    work.finish(whole * (1 - before));
  }

  /** The curvature of every member. */
  async measure(): Promise<Curvature> {
    const { run, grid } = this;
    const { samples, probes, steps, tolerance } = grid.hessian;
    const shared = { ...this.#signal, samples };
    const trace = await this.#measured('trace', (report) =>
      hessianTrace(run, grid.data.train, {
        ...shared,
        probes,
        onProgress: (p) => report(p.fraction, `Hessian trace of network ${p.member + 1}/${p.members}`),
      }),
    );
    const top = await this.#measured('eigenvalue', (report) =>
      hessianEigenvalues(run, grid.data.train, {
        ...shared,
        steps,
        tolerance,
        onProgress: (p) => {
          const part = (p.member + Math.min(1, p.step / usualSteps)) / p.members;
          report(part, `top eigenvalue of network ${p.member + 1}/${p.members}`);
        },
      }),
    );
    const none = () => run.seeds.map(() => null);
    return {
      trace: trace?.trace ?? none(),
      traceError: trace?.standardError ?? none(),
      topEigenvalue: top?.eigenvalues.map(([value]) => value!) ?? none(),
      topResidual: top?.residuals.map(([value]) => value!) ?? none(),
    };
  }

  async #measured<T>(stage: Stage, measure: (report: (part: number, details: string) => void) => Promise<T>) {
    const cost = stageCost(this.grid, this.cell, stage);
    try {
      return await measure(this.#reporter(stage, cost));
    } catch (error) {
      // Parameters near overflow, before a member diverged: there is no curvature, but the zoo goes on.
      if (!(error instanceof PtmzError) || error.code !== 'NON_FINITE') throw error;
      this.options.onWarning?.(`${this.cell.name}: no ${stage}: ${error.message}`);
      return undefined;
    } finally {
      this.work.finish(cost);
    }
  }
}

const short = (values: readonly number[]) => values.map((x) => (Number.isNaN(x) ? '-' : x.toPrecision(3))).join(' ');
