/** Workload: how dear the pieces of a zoo are in relation to each other, and the time that is left by that measure. */
import type { Cell, Grid } from './grid.js';

/** What a cell goes through. */
export type Stage = 'training' | 'trace' | 'eigenvalue';

export const stages: readonly Stage[] = ['training', 'trace', 'eigenvalue'];

/** Lanczos steps that a top eigenvalue takes: 4 to 8 were seen at a tolerance of 1e-2. */
export const usualSteps = 6;

// Measured with ResNet-18 of widths 2, 4 and 8 on two cores, against a training step on one sample. A Hessian-vector
// product of many random vectors at once costs as much, one of Lanczos (members one by one) twice that.
const evaluationCost = 1 / 3;
const traceCost = 1;
const lanczosCost = 2;

/** Between the width (thin layers wait for memory) and its square (the multiplications). */
const networkCost = (width: number) => width * (width + 14);

/** The cost of one stage of a cell, in units of no meaning. */
export function stageCost({ seeds, epochs, data, hessian }: Grid, { width }: Cell, stage: Stage): number {
  const samples = {
    training: epochs * (data.train.count + evaluationCost * (data.test?.count ?? 0)),
    trace: traceCost * hessian.probes * hessian.samples,
    eigenvalue: lanczosCost * Math.min(usualSteps, hessian.steps) * hessian.samples,
  };
  return seeds.length * networkCost(width) * samples[stage];
}

/** Counts what is done of all the work; the time that is left follows from the speed of this run alone. */
export class Workload {
  readonly #began = performance.now();
  #finished: number;
  #before: number;
  /** How much is done of each piece that is under way, by who is at it. */
  readonly #pieces = new Map<object, number>();

  /** @param before of the total, what earlier runs have finished */
  constructor(
    readonly total: number,
    before: number,
  ) {
    this.#finished = this.#before = before;
  }

  /** `who` has come to the end of a piece. */
  finish(who: object, cost: number): void {
    this.#pieces.delete(who);
    this.#finished += cost;
  }

  /** An earlier run had done this much of a cell that it did not finish. */
  skip(cost: number): void {
    this.#finished += cost;
    this.#before += cost;
  }

  /** With this much of the piece of `who` done: the part of everything, and the expected seconds to the end. */
  progress(who: object, piece: number): { fraction: number; eta: number } {
    this.#pieces.set(who, piece);
    const done = [...this.#pieces.values()].reduce((sum, part) => sum + part, this.#finished);
    const seconds = (performance.now() - this.#began) / 1000;
    const own = done - this.#before;
    return { fraction: done / this.total, eta: own > 0 ? (seconds / own) * (this.total - done) : NaN };
  }
}
