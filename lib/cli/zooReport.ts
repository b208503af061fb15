/** Reports of a zoo: the table of load x temperature for the terminal, and the figure for its folder. */
import { PtmzError } from '../errors.js';
import { phaseFigure, type VegaLiteSpec } from '../report/phaseFigure.js';
import { renderPng, renderSvg } from '../report/render.js';
import { ascending, type Grid } from '../zoo/grid.js';
import type { ZooStore } from '../zoo/store.js';
import type { CellSummary } from '../zoo/summary.js';
import { formatCount, formatNumber, formatPercent, formatTable, type Column } from './table.js';

const quantities: { name: string; text(cell: CellSummary): string }[] = [
  { name: 'test accuracy', text: (cell) => formatPercent(cell.testAccuracy) },
  { name: 'train accuracy', text: (cell) => formatPercent(cell.trainAccuracy) },
  { name: 'test loss', text: (cell) => formatNumber(cell.testLoss) },
  { name: 'train loss', text: (cell) => formatNumber(cell.trainLoss) },
  {
    name: 'Hessian trace',
    text: ({ hessianTrace, hessianTraceError }) =>
      hessianTrace === null ? '-' : `${formatNumber(hessianTrace, 3)} ± ${formatNumber(hessianTraceError, 2)}`,
  },
  { name: 'top eigenvalue', text: (cell) => formatNumber(cell.topEigenvalue, 3) },
];

/** Load from left to right, and for every quantity temperature from hot to cold. */
export function formatPhaseTable(cells: readonly CellSummary[]): string {
  const distinct = (values: number[]) => ascending([...new Set(values)]);
  const batchSizes = distinct(cells.map((cell) => cell.batchSize));
  type Row = { name: string; batchSize: number; text(cell: CellSummary): string };
  const rows = quantities.flatMap(({ name, text }): Row[] =>
    batchSizes.map((batchSize, i) => ({ name: i === 0 ? name : '', batchSize, text })),
  );
  const columns: Column<Row>[] = [
    { heading: '', cell: (row) => row.name },
    { heading: 'batch size', cell: (row) => String(row.batchSize) },
    ...distinct(cells.map((cell) => cell.width)).map((width): Column<Row> => ({
      heading: `width ${width}`,
      cell: ({ batchSize, text }) => {
        const found = cells.find((cell) => cell.width === width && cell.batchSize === batchSize);
        return found ? text(found) : '';
      },
    })),
  ];
  const diverged = cells.reduce((sum, cell) => sum + cell.diverged, 0);
  const note = diverged === 0 ? '' : `\n${diverged} diverged networks are left out of the means.`;
  return `${formatTable(columns, rows)}${note}`;
}

/** Writes `phases.vl.json`, and `phases.svg` and `phases.png` where the packages that draw them are installed. */
export async function writePhaseFigure(store: ZooStore): Promise<void> {
  const spec = figureOf(store.grid, store.summaries());
  const written = [store.write('phases.vl.json', `${JSON.stringify(spec, null, 2)}\n`)];
  try {
    const svg = await renderSvg(spec);
    written.push(store.write('phases.svg', svg));
    written.push(store.write('phases.png', await renderPng(svg)));
  } catch (error) {
    if (!(error instanceof PtmzError) || error.code !== 'MISSING_PEER') throw error;
    process.stderr.write(`warning: no picture of the figure: ${error.message}\n  ${error.hint}\n`);
  }
  process.stderr.write(`figure: ${written.at(-1)}\n`);
}

function figureOf({ data, epochs, seeds }: Grid, cells: readonly CellSummary[]): VegaLiteSpec {
  const images = formatCount(data.train.count, 'training image');
  return phaseFigure(
    cells.map(({ width, batchSize, testAccuracy, trainLoss, logHessianTrace10 }) => ({
      width,
      'batch size': batchSize,
      'test accuracy': testAccuracy,
      'train loss': trainLoss,
      'log10 trace': logHessianTrace10,
    })),
    {
      title: `ResNet-18 on ${data.name}`,
      subtitle: [
        `${images}, ${formatCount(epochs, 'epoch')}, mean of ${formatCount(seeds.length, 'seed')}.`,
        'Load grows to the right, temperature (small batches) upwards.',
      ],
    },
  );
}
