/** Derivatives of expressions as expressions: vjp, grad, jvp, hvp. */
import { callNative, checkArray, invalidArgument } from '../errors.js';
import { add, mul } from './elementwise.js';
import { checkSameLayout, Flat } from './flat.js';
import type { Graph } from './graph.js';
import { sum } from './reductions.js';
import { elementCount, sameShape, shapeMismatch } from './shape.js';
import { Value } from './value.js';

function checkReal(name: string, values: readonly Value[]): void {
  checkArray(name, values);
  for (const value of values)
    if (!(value instanceof Value) || value.kind !== 'real') throw invalidArgument(name, 'Values of kind real', value);
}

function checkPairs(op: string, values: readonly Value[], cotangents: readonly Value[], names: [string, string]): void {
  checkReal(names[0], values);
  checkReal(names[1], cotangents);
  if (values.length !== cotangents.length)
    throw invalidArgument(names[1], `as many values as ${names[0]} has (${values.length})`, cotangents.length);
  values.forEach((value, i) => {
    if (!sameShape(value.shape, cotangents[i]!.shape))
      throw shapeMismatch(op, `${names[1]}[${i}] shaped as ${names[0]}[${i}]`, cotangents[i]!.shape, value.shape);
  });
}

/** d<outputs, cotangents> / d wrt; null where nothing leads there. @internal */
export function vjpOrNull(
  graph: Graph,
  outputs: readonly Value[],
  cotangents: readonly Value[],
  wrt: readonly Value[],
): (Value | null)[] {
  checkPairs('vjp', outputs, cotangents, ['outputs', 'cotangents']);
  checkReal('wrt', wrt);
  if (wrt.length === 0) return [];
  const ids = [outputs, cotangents, wrt].map((values) => graph.ids(values)) as [number[], number[], number[]];
  return callNative(() => graph.native.vjp(...ids)).map((id) => (id < 0 ? null : graph.value(id)));
}

/** (d outputs / d wrt) tangents; zeros where nothing leads there. @internal */
export function jvp(
  graph: Graph,
  outputs: readonly Value[],
  wrt: readonly Value[],
  tangents: readonly Value[],
): Value[] {
  checkReal('outputs', outputs);
  checkPairs('jvp', wrt, tangents, ['wrt', 'tangents']);
  const ids = [outputs, wrt, tangents].map((values) => graph.ids(values)) as [number[], number[], number[]];
  const nodes = callNative(() => graph.native.jvp(...ids));
  return nodes.map((id, i) => (id < 0 ? graph.constant(0, outputs[i]!.shape) : graph.value(id)));
}

/** d loss / d wrt of a loss with one element. @internal */
export function gradOrNull(graph: Graph, loss: Value, wrt: readonly Value[]): (Value | null)[] {
  if (!(loss instanceof Value)) throw invalidArgument('loss', 'a Value', loss);
  if (elementCount(loss.shape) !== 1) throw shapeMismatch('grad', 'a loss with one element', loss.shape);
  return vjpOrNull(graph, [loss], [graph.constant(1, loss.shape)], wrt);
}

/** The inner product of two vectors of one layout, shape []. @internal */
export function dot(graph: Graph, a: Flat, b: Flat): Value {
  for (const [name, flat] of Object.entries({ a, b }))
    if (!(flat instanceof Flat)) throw invalidArgument(`${name} of dot`, 'a Flat', flat);
  checkSameLayout('dot', a, b);
  const terms = a.entries.flatMap((entry, i) => {
    const other = b.entries[i]!.value;
    return entry.value && other ? [sum(mul(entry.value, other))] : [];
  });
  return terms.length === 0 ? graph.constant(0) : terms.reduce((total, term) => add(total, term));
}
