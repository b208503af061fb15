/** Problem: a loss without samples, such as that of a differential equation, and the tools to write one down. */
import { createHash } from 'node:crypto';
import { checkArray, checkInteger, checkObject, checkOneOf, checkString, invalidArgument } from '../errors.js';
import type { DataSet } from '../data/dataset.js';
import { Split } from '../data/split.js';
import type { Graph } from '../graph/graph.js';
import { concat } from '../graph/operators.js';
import { Value } from '../graph/value.js';
import { linear } from '../nn/index.js';

/** What a problem's graph gives. */
export interface ProblemLoss {
  /** The terms of the loss, each of shape []; their sum is minimised. */
  terms: Record<string, Value>;
  /** How far from the known solution, shape []; what evaluation reports. */
  error?: Value;
}

/**
 * A function of the parameters to be minimised: any object of this form can be trained and measured. Parameters and
 * points are those that `build` adds to the graph, the same ones in the same order every time.
 *
 * @example
 * ```ts
 * import { derivative, field, points, type Problem } from 'ptmz-native';
 * const decay: Problem = {
 *   name: 'decay', // u' = -k u, u(0) = 1
 *   constants: ['k'],
 *   build(graph, { k }) {
 *     const u = field(graph, [1, 16, 1]);
 *     const { t } = points(graph, 'inside', { t: [0, 0.25, 0.5, 0.75, 1] });
 *     const { zero } = points(graph, 'start', { zero: [0] });
 *     const residual = derivative(u(t), t).add(u(t).mul(k));
 *     return { terms: { equation: residual.square().mean(), start: u(zero).sub(1).square().mean() } };
 *   },
 * };
 * ```
 */
export interface Problem {
  readonly name: string;
  /** Numbers of the equation that are given to the training, and may differ from member to member. */
  readonly constants?: readonly string[];
  /** Called once per graph; `constants` are scalars, shape []. */
  build(graph: Graph, constants: Record<string, Value>): ProblemLoss;
}

/** Throws unless `value` looks like a problem. @internal */
export function checkProblem(value: Problem): Problem {
  checkObject('model', value);
  checkString('model.name', value.name);
  if (typeof value.build !== 'function') throw invalidArgument('model.build', 'a function', value.build);
  checkArray('model.constants', value.constants ?? []);
  value.constants?.forEach((name, i) => checkString(`model.constants[${i}]`, name));
  return value;
}

/** A problem's constants are buffers: every solver has one row of them per member. @internal */
export function buildProblem(
  problem: Problem,
  graph: Graph,
): { loss: Value; error?: Value; terms: ProblemLoss['terms'] } {
  const constants = Object.fromEntries(
    (problem.constants ?? []).map((name) => [name, graph.buffer(name, [], { persistent: false })]),
  );
  const { terms, error } = problem.build(graph, constants);
  checkObject(`the terms of ${problem.name}`, terms);
  const values = Object.entries({ ...terms, ...(error && { error }) });
  for (const [name, value] of values)
    if (!(value instanceof Value) || value.shape.length > 0)
      throw invalidArgument(`'${name}' of ${problem.name}`, 'a Value of shape []', value);
  const [first, ...rest] = Object.values(terms);
  if (!first) throw invalidArgument(`the terms of ${problem.name}`, 'at least one', terms);
  return { loss: rest.reduce((sum, term) => sum.add(term), first), terms, ...(error && { error }) };
}

/** What stands in for samples where there are none: one sample, the whole problem. @internal */
export class ProblemSplit extends Split {
  readonly #points: string;

  /** @param part which value of the problem an evaluation gives */
  constructor(
    problem: Problem,
    graph: Graph,
    readonly part: 'loss' | 'error',
  ) {
    const none = { samples: null, labels: null, count: 1, channels: 1, plane: 1, window: 0, stride: 1 };
    super([1], 1, { ...none, mean: [0], deviation: [1] });
    this.#points = JSON.stringify([
      problem.name,
      part,
      graph.buffers.entries.map(({ name, shape, init }) => [name, shape, init]),
    ]);
  }

  digest(): string {
    return createHash('sha256').update(this.#points).digest('hex');
  }
}

/** @internal */
export function problemData(problem: Problem, graph: Graph, error: boolean): DataSet<ProblemSplit> {
  const train = new ProblemSplit(problem, graph, 'loss');
  const { name } = problem;
  return { name, classes: 1, train, ...(error && { test: new ProblemSplit(problem, graph, 'error') }) };
}

const activations = ['tanh', 'sin', 'relu', 'softplus'] as const;

/** What {@link field} takes beside the layers. */
export interface FieldOptions {
  /** Between the layers; default `tanh`. */
  activation?: (typeof activations)[number];
  /** The parameters are `<prefix>layer_0.weight`, ...; default `dnn.layers.`. */
  prefix?: string;
}

/**
 * A fully connected network as a function of coordinates: the unknown of an equation. Weights and biases begin as
 * U(+-1 / sqrt(fan_in)), as torch.nn.Linear's do. Names are those of the published networks.
 *
 * @param layers sizes: coordinates, hidden layers, outputs; such as [2, 50, 50, 50, 50, 1]
 * @returns a function of one column (N,1) per coordinate, whose value is (N, outputs)
 * @throws PtmzError `INVALID_ARGUMENT`; from the function for another number of columns
 * @example
 * ```ts
 * import { field, Graph, points } from 'ptmz-native';
 * using graph = new Graph();
 * const u = field(graph, [2, 50, 50, 50, 50, 1]);
 * const { x, t } = points(graph, 'start', { x: [0, 1, 2], t: [0, 0, 0] });
 * u(x, t).shape; // [3, 1]
 * graph.params.count; // 7851
 * ```
 */
export function field(
  graph: Graph,
  layers: readonly number[],
  options: FieldOptions = {},
): (...columns: Value[]) => Value {
  checkArray('layers', layers);
  if (layers.length < 2) throw invalidArgument('layers', 'at least two sizes', layers);
  layers.forEach((size, i) => checkInteger(`layers[${i}]`, size, 1));
  checkObject('options of field', options, ['activation', 'prefix']);
  const activation = checkOneOf('activation', options.activation ?? 'tanh', activations);
  const prefix = options.prefix ?? 'dnn.layers.';
  const parameters = layers.slice(1).map((out, i) => {
    const fanIn = layers[i]!;
    const init = { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) } as const;
    const weight = graph.param(`${prefix}layer_${i}.weight`, [out, fanIn], { init });
    return { weight, bias: graph.param(`${prefix}layer_${i}.bias`, [out], { init }) };
  });
  return (...columns) => {
    if (columns.length !== layers[0]) throw invalidArgument('columns', `${layers[0]} columns (N,1)`, columns.length);
    const x = columns.length === 1 ? columns[0]! : concat(columns, 1);
    return parameters.reduce((y, { weight, bias }, i) => {
      const z = linear(y, weight, bias);
      return i === parameters.length - 1 ? z : z[activation]();
    }, x);
  };
}

/**
 * Points at which a problem's terms are computed, as columns that can be differentiated by.
 *
 * @param name of the set of points, unique in the graph
 * @param coordinates name -> one number per point
 * @returns name -> a column (N,1)
 * @example
 * ```ts
 * import { Graph, points } from 'ptmz-native';
 * using graph = new Graph();
 * points(graph, 'inside', { x: [0.1, 0.2], t: [0, 1] }).x.shape; // [2, 1]
 * ```
 */
export function points<K extends string>(
  graph: Graph,
  name: string,
  coordinates: Record<K, ArrayLike<number>>,
): Record<K, Value> {
  checkObject('coordinates', coordinates);
  const columns = Object.entries<ArrayLike<number>>(coordinates).map(([key, values]) => {
    if (typeof values !== 'object' || !(values?.length > 0))
      throw invalidArgument(`${name}.${key}`, 'at least one number', values);
    const init = { kind: 'values', values } as const;
    return [key, graph.buffer(`${name}.${key}`, [values.length, 1], { init, persistent: false })];
  });
  return Object.fromEntries(columns) as Record<K, Value>;
}

/**
 * d u / d x, point by point: each of u's values depends on its own point alone. The result can be differentiated
 * again, `derivative(derivative(u, x), x)`.
 *
 * @param u (N,1) or (N, outputs), of which the sum is taken
 * @param x (N,1), a column that u was computed from
 * @returns (N,1)
 * @example
 * ```ts
 * import { derivative, Graph, points } from 'ptmz-native';
 * using graph = new Graph();
 * const { x } = points(graph, 'inside', { x: [0, 1, 2] });
 * derivative(x.sin(), x); // cos x
 * ```
 */
export function derivative(u: Value, x: Value): Value {
  return u.graph.grad(u.sum(), x);
}
