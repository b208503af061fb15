/** Survivors: the members of a run that have not diverged, as a population that can be measured. */
import { PtmzError } from '../errors.js';
import type { Run } from './run.js';
import { selectMembers } from './subset.js';

/** One member that has diverged, and has no finite Hessian, would be the end of a measurement for all. @internal */
export class Survivors implements Disposable {
  /** Their positions in the whole run. */
  readonly members: readonly number[];
  readonly #part: Run | undefined;

  /** @param average whether they are measured at the moving average of their parameters */
  constructor(
    readonly whole: Run,
    average = false,
  ) {
    const { divergedAt } = whole;
    this.members = [...whole.seeds.keys()].filter((m) => divergedAt[m] === null);
    const own = average || this.members.length < whole.members;
    this.#part = own && this.members.length > 0 ? selectMembers(whole, this.members, { average }) : undefined;
  }

  /** A population of survivors; the whole run where nobody diverged. Throws `NON_FINITE` where everybody did. */
  get run(): Run {
    if (this.members.length > 0) return this.#part ?? this.whole;
    throw new PtmzError('NON_FINITE', 'every member of the run has diverged');
  }

  /** One value for each member of the whole run: that of a survivor, or null. */
  ofAll<T>(values: readonly T[]): (T | null)[] {
    return [...this.whole.seeds.keys()].map((m) => values[this.members.indexOf(m)] ?? null);
  }

  /** The whole run stays. */
  [Symbol.dispose](): void {
    this.#part?.dispose();
  }
}
