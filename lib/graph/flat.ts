/** Flat: a vector with named tensors at fixed offsets - parameters, buffers, gradients, directions. */
import { invalidArgument, PtmzError } from '../errors.js';
import type { Graph } from './graph.js';
import { elementCount, type Shape } from './shape.js';
import type { Value } from './value.js';

/** Where a parameter's or buffer's numbers come from when {@link initialise} fills its vector. */
export type Init =
  | { kind: 'zeros' }
  | { kind: 'constant'; value: number }
  /** U(-bound, bound). */
  | { kind: 'uniform'; bound: number }
  /** N(0, std^2). */
  | { kind: 'normal'; std: number }
  /** U(-sqrt(6 / fan_in), sqrt(6 / fan_in)), fan_in = product of all axes but the first (He et al. 2015, a = 0). */
  | { kind: 'kaimingUniform' }
  /** These numbers, the same for every member. */
  | { kind: 'values'; values: ArrayLike<number> };

/** One tensor of a {@link Flat}: its name, place, shape and value. */
export interface FlatEntry {
  readonly name: string;
  /** In elements, a multiple of 64. */
  readonly offset: number;
  readonly shape: Shape;
  /** null stands for zeros. */
  readonly value: Value | null;
  readonly init: Init;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** Whether it is part of a state dict. */
  readonly persistent: boolean;
}

const alignment = 64;

/**
 * A vector in the layout of a graph's parameters (or buffers): every tensor has a fixed offset, so gradient, direction
 * and HVP can be added to the parameters element by element. The gaps between tensors stay zero.
 *
 * @example
 * ```ts
 * import { Graph } from 'ptmz-native';
 * using graph = new Graph();
 * graph.param('w', [3, 3]);
 * graph.param('b', [3]);
 * graph.params.size; // 128: each tensor begins at a multiple of 64
 * graph.params.get('b').offset; // 64
 * ```
 */
export class Flat {
  /** Use {@link Graph.params} and {@link Graph.grad}. @internal */
  constructor(
    readonly graph: Graph,
    /** Elements per member, with the gaps. */
    readonly size: number,
    readonly entries: readonly FlatEntry[],
  ) {}

  /** Elements without the gaps. */
  get count(): number {
    return this.entries.reduce((n, entry) => n + elementCount(entry.shape), 0);
  }

  /** The entry of that name. Throws `INVALID_ARGUMENT` if there is none. */
  get(name: string): FlatEntry {
    const entry = this.entries.find((e) => e.name === name);
    if (!entry) throw invalidArgument('name', `one of ${this.entries.map((e) => e.name).join(', ')}`, name);
    return entry;
  }

  /** The same layout with other values. @internal */
  withValues(values: readonly (Value | null)[]): Flat {
    return new Flat(
      this.graph,
      this.size,
      this.entries.map((entry, i) => ({ ...entry, value: values[i] ?? null })),
    );
  }
}

/** The layout of a vector while tensors are being added to it. @internal */
export class FlatLayout {
  readonly entries: FlatEntry[] = [];
  size = 0;

  /** Room for one more tensor; returns its offset. */
  reserve(shape: Shape): number {
    const offset = this.size;
    this.size = Math.ceil((offset + elementCount(shape)) / alignment) * alignment;
    return offset;
  }
}

/** Throws where two vectors cannot be added because their tensors lie at different places. @internal */
export function checkSameLayout(op: string, a: Flat, b: Flat): void {
  const differs =
    a.size !== b.size ||
    a.entries.length !== b.entries.length ||
    a.entries.some((entry, i) => entry.offset !== b.entries[i]!.offset);
  if (!differs) return;
  const text = (f: Flat) => `${f.entries.length} tensors in ${f.size} elements`;
  throw new PtmzError(
    'SHAPE_MISMATCH',
    `${op}: expected vectors of one layout, got ${text(a)} and ${text(b)}; take params, grad and direction after the ` +
      'last parameter was added',
  );
}
