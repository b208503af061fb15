/** CellSummary: what one cell of a zoo came to, the mean over its members; and the cells as a CSV table. */
import { cellsOf, type Cell, type Grid } from './grid.js';
import { finite, meanOf, type ResultLine } from './resultLine.js';

/** Means over the members that did not diverge; null where there is no such member. */
export interface CellSummary {
  width: number;
  batchSize: number;
  trainLoss: number | null;
  trainAccuracy: number | null;
  testLoss: number | null;
  testAccuracy: number | null;
  hessianTrace: number | null;
  /** Of `hessianTrace`, from the random vectors of its estimate alone: seeds differ by more. */
  hessianTraceError: number | null;
  logHessianTrace10: number | null;
  topEigenvalue: number | null;
  members: number;
  diverged: number;
}

/** Summaries of the cells that are finished, in the order of {@link cellsOf}. */
export function summarise(grid: Grid, linesOf: (cell: Cell) => readonly ResultLine[] | undefined): CellSummary[] {
  return cellsOf(grid).flatMap((cell) => {
    const lines = linesOf(cell);
    return lines ? [summariseCell(cell, lines)] : [];
  });
}

function summariseCell({ width, batchSize }: Cell, lines: readonly ResultLine[]): CellSummary {
  const last = lines.filter(({ done }) => done);
  const alive = last.filter(({ divergedAt }) => divergedAt === null);
  const mean = (key: keyof ResultLine) => meanOf(alive.map((line) => (line[key] ?? null) as number | null));
  const errors = alive.map((line) => line.hessian_trace_train_standard_error ?? null).filter((e) => e !== null);
  const hessianTrace = mean('hessian_trace_train_mean');
  return {
    width,
    batchSize,
    trainLoss: mean('train_loss'),
    trainAccuracy: mean('train_acc'),
    testLoss: mean('test_loss'),
    testAccuracy: mean('test_acc'),
    hessianTrace,
    // Members have random vectors of their own: variances add.
    hessianTraceError: errors.length > 0 ? Math.hypot(...errors) / errors.length : null,
    logHessianTrace10: hessianTrace === null ? null : finite(Math.log10(hessianTrace)),
    topEigenvalue: mean('hessian_top_eigenvalues_train_mean'),
    members: last.length,
    diverged: last.length - alive.length,
  };
}

const headings: Record<keyof CellSummary, string> = {
  width: 'width',
  batchSize: 'batchsize',
  trainLoss: 'train_loss',
  trainAccuracy: 'train_acc',
  testLoss: 'test_loss',
  testAccuracy: 'test_acc',
  hessianTrace: 'hessian_trace_train_mean',
  hessianTraceError: 'hessian_trace_train_standard_error',
  logHessianTrace10: 'log10_hessian_trace_train',
  topEigenvalue: 'hessian_top_eigenvalues_train_mean',
  members: 'members',
  diverged: 'diverged',
};

/** One line per cell, below a line of headings; an unknown number is an empty field. */
export function formatCsv(cells: readonly CellSummary[]): string {
  const keys = Object.keys(headings) as (keyof CellSummary)[];
  const rows = [keys.map((key) => headings[key]), ...cells.map((cell) => keys.map((key) => cell[key] ?? ''))];
  return rows.map((row) => `${row.join(',')}\n`).join('');
}
