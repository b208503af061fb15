/** phaseFigure: load x temperature heatmaps of a zoo side by side, as a Vega-Lite specification. */
import { checkArray, checkObject, checkString, invalidArgument, unexpected } from '../errors.js';
import { labelColour, rangeOf, type Range, type Scheme } from './scheme.js';

/** One cell of a zoo: its place, and what was measured there; null where that is not known. */
export type PhaseCell = Readonly<Record<string, number | null>>;

/** One heatmap. */
export interface PhasePanel {
  /** The key of the cells that is shown. */
  field: string;
  title: string;
  scheme: Scheme;
  /** How numbers are written, in the notation of d3-format. */
  format: string;
}

/** What {@link phaseFigure} takes beside the cells. */
export interface PhaseFigureOptions {
  /** The key of the load, from left to right in increasing order; default `width`. */
  load?: string;
  /** The key of the temperature, the smallest (for batch sizes the hottest) on top; default `batch size`. */
  temperature?: string;
  panels?: readonly PhasePanel[];
  title?: string;
  /** One line, or several. */
  subtitle?: string | readonly string[];
}

/** A specification that any Vega-Lite editor or notebook opens. */
export type VegaLiteSpec = { readonly $schema: string } & Readonly<Record<string, unknown>>;

/** Test accuracy, train loss and trace, with the colours of the published figures. */
export const phasePanels: readonly PhasePanel[] = [
  { field: 'test accuracy', title: 'Test accuracy', scheme: 'viridis', format: '.1%' },
  { field: 'train loss', title: 'Train loss', scheme: 'viridis reversed', format: '.3f' },
  { field: 'log10 trace', title: 'Hessian trace, log\u2081\u2080', scheme: 'red-blue reversed', format: '.2f' },
];

const font = "Inter, 'Helvetica Neue', Arial, sans-serif";
const cellSize = 64;
const ink = '#1f2328';
const faint = '#656d76';

/**
 * The specification of a figure with one heatmap for each panel. Small values of the temperature are on top, small
 * values of the load on the left. Where a value is null the cell is grey.
 *
 * @throws PtmzError `INVALID_ARGUMENT` naming the cell or option
 * @example
 * ```ts
 * import { phaseFigure } from 'ptmz-native';
 * const cells = [
 *   { width: 2, 'batch size': 16, 'test accuracy': 0.84 },
 *   { width: 2, 'batch size': 64, 'test accuracy': 0.81 },
 * ];
 * const panels = [{ field: 'test accuracy', title: 'Test accuracy', scheme: 'viridis', format: '.1%' }] as const;
 * const spec = phaseFigure(cells, { panels, title: 'A small zoo' });
 * JSON.stringify(spec); // for a file that ends in .vl.json
 * ```
 */
export function phaseFigure(cells: readonly PhaseCell[], options: PhaseFigureOptions = {}): VegaLiteSpec {
  checkObject('options', options, ['load', 'temperature', 'panels', 'title', 'subtitle']);
  const { panels = phasePanels, title, subtitle } = options;
  const load = checkString('load', options.load ?? 'width');
  const temperature = checkString('temperature', options.temperature ?? 'batch size');
  if (title !== undefined) checkString('title', title);
  const lines = typeof subtitle === 'string' ? [subtitle] : (subtitle ?? []);
  checkArray('subtitle', lines);
  lines.forEach((line, i) => checkString(`subtitle[${i}]`, line));
  checkArray('panels', panels);
  if (panels.length === 0) throw unexpected('panels', 'at least one panel', 'none');
  checkCells(cells, [load, temperature], panels);
  const axes: Axes = { load, temperature, columns: distinct(cells, load), rows: distinct(cells, temperature) };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    ...(title === undefined ? {} : { title: { text: title, subtitle: lines, fontSize: 17, offset: 18 } }),
    data: { values: cells },
    hconcat: panels.map((panel, i) => heatmap(panel, rangeOf(cells.map((cell) => cell[panel.field]!)), axes, i === 0)),
    spacing: 28,
    resolve: { scale: { color: 'independent' } },
    config,
  };
}

function checkCells(cells: readonly PhaseCell[], axes: readonly string[], panels: readonly PhasePanel[]): void {
  checkArray('cells', cells);
  if (cells.length === 0) throw unexpected('cells', 'at least one cell', 'none');
  const places = new Set<string>();
  cells.forEach((cell, i) => {
    checkObject(`cells[${i}]`, cell);
    for (const key of axes) {
      if (!Number.isFinite(cell[key])) throw invalidArgument(`cells[${i}]['${key}']`, 'a finite number', cell[key]);
    }
    for (const { field } of panels) {
      const value = cell[field];
      if (value !== null && !Number.isFinite(value))
        throw invalidArgument(`cells[${i}]['${field}']`, 'a finite number or null', value);
    }
    const place = axes.map((key) => `${key} ${cell[key]}`).join(', ');
    if (places.has(place)) throw unexpected(`cells[${i}]`, 'a place of its own', `${place} for a second time`);
    places.add(place);
  });
}

const distinct = (cells: readonly PhaseCell[], key: string) =>
  [...new Set(cells.map((cell) => cell[key]!))].sort((a, b) => a - b);

interface Axes {
  load: string;
  temperature: string;
  columns: number[];
  rows: number[];
}

function heatmap({ field, title, scheme, format }: PhasePanel, range: Range, axes: Axes, first: boolean) {
  const { load, temperature, columns, rows } = axes;
  const value = `datum[${JSON.stringify(field)}]`;
  return {
    title: { text: title, frame: 'group' },
    width: cellSize * columns.length,
    height: cellSize * rows.length,
    encoding: {
      x: { field: key(load), type: 'ordinal', sort: columns, title: load, axis: { labelAngle: 0 } },
      // Equal rows need one set of labels.
      y: {
        field: key(temperature),
        type: 'ordinal',
        sort: rows,
        title: first ? temperature : null,
        axis: first ? {} : { labels: false },
      },
    },
    layer: [
      { mark: { type: 'rect', color: '#e4e7eb' } },
      {
        transform: [{ filter: `isValid(${value})` }],
        mark: { type: 'rect' },
        encoding: {
          color: {
            field: key(field),
            type: 'quantitative',
            scale: { ...vegaScheme[scheme], domain: [range.low, range.high] },
            legend: {
              format,
              values: [range.low, range.high],
              gradientLength: Math.max(cellSize * columns.length, 96),
            },
          },
        },
      },
      {
        mark: { type: 'text', fontSize: 13 },
        encoding: {
          text: { condition: { test: `isValid(${value})`, field: key(field), format }, value: '\u2013' },
          color: { condition: { test: labelColour(scheme, value, range), value: '#ffffff' }, value: ink },
        },
      },
    ],
  };
}

/** A name with dots or brackets is a path for Vega; behind backslashes it is a name. */
const key = (name: string) => name.replaceAll(/[\\.[\]'"]/g, '\\$&');

const vegaScheme: Record<Scheme, object> = {
  viridis: { scheme: 'viridis' },
  'viridis reversed': { scheme: 'viridis', reverse: true },
  'red-blue': { scheme: 'redblue' },
  'red-blue reversed': { scheme: 'redblue', reverse: true },
};

const config = {
  background: '#ffffff',
  padding: 16,
  font,
  title: {
    anchor: 'start',
    fontSize: 14,
    fontWeight: 600,
    color: ink,
    subtitleColor: faint,
    subtitleFontSize: 12,
    subtitlePadding: 4,
    offset: 12,
  },
  axis: {
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titleColor: faint,
    titlePadding: 8,
    labelFontSize: 12,
    labelColor: ink,
    domain: false,
    ticks: false,
    labelPadding: 6,
  },
  legend: {
    title: null,
    orient: 'bottom',
    direction: 'horizontal',
    labelFontSize: 11,
    labelColor: faint,
    gradientThickness: 8,
    offset: 12,
  },
  scale: { rectBandPaddingInner: 0.03 },
  view: { stroke: null },
};
