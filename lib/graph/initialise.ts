/** First values of parameters and buffers: for every member its own, from its own seed. */
import { checkInteger, invalidArgument } from '../errors.js';
import type { FlatEntry } from './flat.js';
import type { Graph } from './graph.js';
import { elementCount, type Shape } from './shape.js';
import { Vector } from './vector.js';

// Buffers draw from streams of their own, so that adding a parameter never changes a buffer.
const bufferStreams = 2 ** 30;

/** The bound of the uniform distribution whose variance is 2 / fan_in (He et al. 2015, equation 10: bound = sqrt(3 var)). */
const kaimingBound = (shape: Shape): number => Math.sqrt(6 / elementCount(shape.slice(1)));

function fillEntry(vector: Vector, entry: FlatEntry, stream: number, seeds: readonly number[]): void {
  const { init, shape, offset } = entry;
  const length = elementCount(shape);
  const draw = (distribution: 'uniform' | 'normal', scale: number, shift: number) =>
    vector.random({ distribution, purpose: 'init', seeds, stream, offset, length, scale, shift });
  switch (init.kind) {
    case 'uniform':
      draw('uniform', 2 * init.bound, -init.bound);
      return;
    case 'kaimingUniform':
      draw('uniform', 2 * kaimingBound(shape), -kaimingBound(shape));
      return;
    case 'normal':
      draw('normal', init.std, 0);
      return;
    case 'values':
      for (let row = 0; row < vector.rows; ++row) vector.set(row, Array.from(init.values), offset);
      return;
    default: {
      const values = new Array<number>(length).fill(init.kind === 'constant' ? init.value : 0);
      for (let row = 0; row < vector.rows; ++row) vector.set(row, values, offset);
    }
  }
}

/**
 * Fills the parameters, and the buffers if given, of every member as their `init` says. A tensor's numbers depend only
 * on its position in the list of tensors and on the member's seed.
 *
 * @param vectors `params` and optionally `buffers`: rows = members, size = that of {@link Graph.params}
 * @param seeds one integer in [0, 2^53) per member
 * @throws PtmzError `INVALID_ARGUMENT` where sizes or the number of seeds do not fit
 * @example
 * ```ts
 * import { Graph, initialise, Vector } from 'ptmz-native';
 * using graph = new Graph();
 * graph.param('w', [8, 4], { init: { kind: 'kaimingUniform' } });
 * using params = new Vector('float32', 3, graph.params.size);
 * initialise(graph, { params }, [0, 1, 2]);
 * ```
 */
export function initialise(
  graph: Graph,
  vectors: { params: Vector; buffers?: Vector },
  seeds: readonly number[],
): void {
  for (const name of ['params', 'buffers'] as const) {
    const vector = vectors[name];
    if (vector === undefined && name === 'buffers') continue;
    if (!(vector instanceof Vector)) throw invalidArgument(name, 'a Vector', vector);
    const flat = graph[name];
    if (vector.size !== flat.size) throw invalidArgument(`the size of ${name}`, String(flat.size), vector.size);
    if (seeds.length !== vector.rows) throw invalidArgument('seeds', `${vector.rows} seeds, one per row`, seeds);
    seeds.forEach((seed) => checkInteger('seed', seed, 0));
    const first = name === 'buffers' ? bufferStreams : 0;
    flat.entries.forEach((entry, i) => fillEntry(vector, entry, first + i, seeds));
  }
}
