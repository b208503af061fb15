/** Operators with an index: gather along one axis and its adjoint, scatterAdd. */
import { checkInteger, invalidArgument } from '../errors.js';
import { checkAxis } from './shape.js';
import { Value } from './value.js';

/** What {@link Value.gather} takes. */
export interface GatherOptions {
  /** Positions with this index read as 0 and are dropped by scatterAdd, instead of being an error. */
  ignoreIndex?: number;
}

function ignoreAttributes(op: string, options: GatherOptions): [number, number] {
  if (options.ignoreIndex === undefined) return [0, 0];
  return [1, checkInteger(`ignoreIndex of ${op}`, options.ignoreIndex, -(2 ** 31), 2 ** 31 - 1)];
}

function checkIndex(op: string, index: unknown): Value {
  if (index instanceof Value && index.kind === 'index') return index;
  throw invalidArgument(`index of ${op}`, "a Value of kind 'index'", index);
}

export function gather(x: Value, axis: number, index: Value, options: GatherOptions = {}): Value {
  const at = checkAxis('gather', axis, x.shape.length);
  return x.graph.node('gather', [x, checkIndex('gather', index)], [at, ...ignoreAttributes('gather', options)]);
}

export function scatterAdd(x: Value, axis: number, index: Value, size: number, options: GatherOptions = {}): Value {
  const at = checkAxis('scatterAdd', axis, x.shape.length);
  checkInteger('size of scatterAdd', size, 1, 2 ** 31 - 1);
  const attributes = [at, ...ignoreAttributes('scatterAdd', options), size];
  return x.graph.node('scatter_add', [x, checkIndex('scatterAdd', index)], attributes);
}
