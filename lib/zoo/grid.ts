/** Grid: the settings of a zoo of ResNet-18s - one cell per width and batch size, a population of seeds in each. */
import type { DataSet } from '../data/dataset.js';
import { checkArray, checkInteger, checkNumber, unexpected } from '../errors.js';

/** What is trained and measured. Everything a result depends on is in here; `params.json` is its record. */
export interface Grid {
  /** Load: channels of the first stage. */
  widths: readonly number[];
  /** Temperature: small batches are hot. */
  batchSizes: readonly number[];
  /** Members of every cell. */
  seeds: readonly number[];
  epochs: number;
  /** Peak of the OneCycle schedule. */
  lr: number;
  data: DataSet;
  hessian: HessianSettings;
}

/** How the curvature of a member is measured. */
export interface HessianSettings {
  /** The first so many training images. */
  samples: number;
  /** Random vectors of the trace estimate. */
  probes: number;
  /** Lanczos steps of the top eigenvalue, at most. */
  steps: number;
  /** Its residual, relative to the largest |eigenvalue|. */
  tolerance: number;
}

/** A place in the grid. */
export interface Cell {
  width: number;
  batchSize: number;
  /** Also its folder below `checkpoints`. */
  name: string;
}

/** What can be checked before the images are read. */
export type GridSettings = Omit<Grid, 'data' | 'hessian'>;

/** Throws `INVALID_ARGUMENT` naming the setting. */
export function checkSettings({ widths, batchSizes, seeds, epochs, lr }: GridSettings): void {
  checkList('widths', widths, 1);
  checkList('batchSizes', batchSizes, 1);
  checkList('seeds', seeds, 0, 2 ** 32 - 1);
  checkInteger('epochs', epochs, 1);
  checkNumber('lr', lr, 0, Number.MAX_VALUE);
}

/**
 * Checks a grid before any work.
 *
 * @throws PtmzError `INVALID_ARGUMENT` naming the setting
 */
export function checkGrid(grid: Grid): Grid {
  checkSettings(grid);
  checkInteger('hessian.samples', grid.hessian.samples, 1, grid.data.train.count);
  checkInteger('hessian.probes', grid.hessian.probes, 2);
  checkInteger('hessian.steps', grid.hessian.steps, 1);
  checkNumber('hessian.tolerance', grid.hessian.tolerance, 0, 1);
  return grid;
}

function checkList(name: string, values: readonly number[], low: number, high = 2 ** 31 - 1): void {
  checkArray(name, values);
  if (values.length === 0) throw unexpected(name, 'at least one integer', 'none');
  values.forEach((value, i) => checkInteger(`${name}[${i}]`, value, low, high));
  const twice = values.find((value, i) => values.indexOf(value) !== i);
  if (twice !== undefined) throw unexpected(name, 'different integers', `${twice} twice`);
}

/** The cells, the dearest first: what is left at the end is then small, and the expected time improves early. */
export function cellsOf({ widths, batchSizes }: Grid): Cell[] {
  return ascending(widths)
    .reverse()
    .flatMap((width) => ascending(batchSizes).map((batchSize) => cell(width, batchSize)));
}

const cell = (width: number, batchSize: number): Cell => ({
  width,
  batchSize,
  name: `width=${width},batchsize=${batchSize}`,
});

/** @internal */
export const ascending = (values: readonly number[]) => [...values].sort((a, b) => a - b);

/** The settings under the names of the published zoos; a `params.json` holds lists, the config of a member one value. */
export type Params = Record<string, string | number | readonly number[]>;

/** What `params.json` holds: the shared settings and, as lists, those that span the grid. */
export function gridParams(grid: Grid): Params {
  const { widths, batchSizes, seeds, hessian, data } = grid;
  return {
    ...shared(grid),
    'model::width': ascending(widths),
    'training::batchsize': ascending(batchSizes),
    seed: seeds,
    // Names of our own, for what the published zoos do not record.
    'data::name': data.name,
    'data::train': data.train.count,
    'data::test': data.test?.count ?? 0,
    'hessian::samples': hessian.samples,
    'hessian::probes': hessian.probes,
    'hessian::steps': hessian.steps,
    'hessian::tolerance': hessian.tolerance,
  };
}

/** The `config` of a member. */
export function memberConfig(grid: Grid, { width, batchSize }: Cell, seed: number): Params {
  return { ...shared(grid), 'model::width': width, 'training::batchsize': batchSize, seed };
}

function shared({ data, epochs, lr }: Grid): Params {
  const { shape, classes } = data.train;
  return {
    'model::type': 'Resnet18_width',
    'model::channels_in': shape[1],
    'model::o_dim': classes,
    'model::init_type': 'kaiming_uniform',
    'model::nlin': 'relu',
    'optim::optimizer': 'sgd',
    'optim::lr': lr,
    // As in the published zoos: the value that the cycle of OneCycle (0.95 to 0.85 and back) takes the place of.
    'optim::momentum': 0.9,
    'optim::wd': 5e-4,
    'optim::scheduler': 'OneCycleLR',
    'training::epochs_train': epochs,
    'training::loss': 'crossentropy',
  };
}
