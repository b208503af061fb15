/** The members of a run as rows: what is known of each after its last epoch, and the columns that show it. */
import { isLanguageModel, isProblem } from '../models/trainable.js';
import type { Run } from '../train/run.js';
import { formatNumber, formatPercent, type Column } from './table.js';

/** One member after the last finished epoch; null where a number is not known. */
export interface MemberRow {
  seed: number;
  /** Peak learning rate. */
  lr: number;
  trainLoss: number | null;
  trainAccuracy: number | null;
  /** Of a problem its error: the distance from the known solution. */
  testLoss: number | null;
  testAccuracy: number | null;
  /** The step at which it diverged. */
  divergedAt: number | null;
  /** Of a language model: exp(testLoss). */
  testPerplexity?: number | null;
  /** Of L-BFGS. */
  converged?: boolean;
  evaluations?: number;
  /** Of a problem, by name. */
  constants?: Record<string, number>;
}

/** All members of a run. */
export function memberRows(run: Run): MemberRow[] {
  const last = run.history.at(-1);
  const known = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? null : value);
  const { converged, evaluations, model } = run;
  const { constants = {}, lr } = run.settings;
  return run.seeds.map((seed, m) => {
    const testLoss = known(last?.testLoss[m]);
    return {
      seed,
      lr: lr[m]!,
      trainLoss: known(last?.trainLoss[m]),
      trainAccuracy: known(last?.trainAccuracy[m]),
      testLoss,
      testAccuracy: known(last?.testAccuracy[m]),
      divergedAt: run.divergedAt[m]!,
      ...(isLanguageModel(model) && { testPerplexity: testLoss === null ? null : Math.exp(testLoss) }),
      ...(evaluations && { converged: converged[m]!, evaluations: evaluations[m]! }),
      ...(isProblem(model) && {
        constants: Object.fromEntries(Object.entries(constants).map(([name, values]) => [name, values[m]!])),
      }),
    };
  });
}

const shared: Record<'seed' | 'lr' | 'trainLoss' | 'trainAccuracy' | 'testLoss' | 'testAccuracy', Column<MemberRow>> = {
  seed: { heading: 'seed', cell: (m) => String(m.seed) },
  lr: { heading: 'lr', cell: (m) => formatNumber(m.lr, 3) },
  trainLoss: { heading: 'train loss', cell: (m) => formatNumber(m.trainLoss) },
  trainAccuracy: { heading: 'train acc', cell: (m) => formatPercent(m.trainAccuracy) },
  testLoss: { heading: 'test loss', cell: (m) => formatNumber(m.testLoss) },
  testAccuracy: { heading: 'test acc', cell: (m) => formatPercent(m.testAccuracy) },
};
const perplexity: Column<MemberRow> = { heading: 'test ppl', cell: (m) => formatNumber(m.testPerplexity) };
const evaluationCount: Column<MemberRow> = {
  heading: 'evaluations',
  cell: (m) => (m.evaluations === undefined ? '-' : m.evaluations.toLocaleString('en')),
};

function stateOf({ divergedAt, converged }: MemberRow): string {
  if (divergedAt !== null) return `diverged at step ${divergedAt}`;
  return converged ? 'converged' : '';
}

/** Columns of a table of members: what counts for their kind of model. */
export function memberColumns({ model }: Run): Column<MemberRow>[] {
  const { seed, lr, trainLoss, trainAccuracy, testLoss, testAccuracy } = shared;
  const state = { heading: '', cell: stateOf };
  if (isLanguageModel(model)) return [seed, lr, trainLoss, testLoss, perplexity, state];
  if (!isProblem(model)) return [seed, lr, trainLoss, trainAccuracy, testLoss, testAccuracy, state];
  const constants = (model.constants ?? []).map((name) => ({
    heading: name,
    cell: (m: MemberRow) => formatNumber(m.constants?.[name], 3),
  }));
  return [seed, ...constants, lr, trainLoss, { ...testLoss, heading: 'error' }, evaluationCount, state];
}
