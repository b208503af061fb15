/** The members of a run as rows: what is known of each after its last epoch, and the columns that show it. */
import type { Run } from '../train/run.js';
import { formatNumber, formatPercent, type Column } from './table.js';

/** One member after the last finished epoch; null where a number is not known. */
export interface MemberRow {
  seed: number;
  /** Peak learning rate. */
  lr: number;
  trainLoss: number | null;
  trainAccuracy: number | null;
  testLoss: number | null;
  testAccuracy: number | null;
  /** The step at which it diverged. */
  divergedAt: number | null;
}

/** All members of a run. */
export function memberRows(run: Run): MemberRow[] {
  const last = run.history.at(-1);
  const known = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? null : value);
  return run.seeds.map((seed, m) => ({
    seed,
    lr: run.settings.lr[m]!,
    trainLoss: known(last?.trainLoss[m]),
    trainAccuracy: known(last?.trainAccuracy[m]),
    testLoss: known(last?.testLoss[m]),
    testAccuracy: known(last?.testAccuracy[m]),
    divergedAt: run.divergedAt[m]!,
  }));
}

/** Columns of a table of members. */
export const memberColumns: Column<MemberRow>[] = [
  { heading: 'seed', cell: (m) => String(m.seed) },
  { heading: 'lr', cell: (m) => formatNumber(m.lr, 3) },
  { heading: 'train loss', cell: (m) => formatNumber(m.trainLoss) },
  { heading: 'train acc', cell: (m) => formatPercent(m.trainAccuracy) },
  { heading: 'test loss', cell: (m) => formatNumber(m.testLoss) },
  { heading: 'test acc', cell: (m) => formatPercent(m.testAccuracy) },
  { heading: '', cell: (m) => (m.divergedAt === null ? '' : `diverged at step ${m.divergedAt}`) },
];
