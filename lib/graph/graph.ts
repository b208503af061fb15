/** Graph: tensor expressions over named slots, their derivatives, and the step to a program. */
import {
  callNative,
  checkBoolean,
  checkInteger,
  checkObject,
  checkOneOf,
  checkString,
  invalidArgument,
  PtmzError,
} from '../errors.js';
import { loadNative } from '../load.js';
import type { NativeGraph } from '../native.js';
import { dot, gradOrNull, jvp, vjpOrNull } from './derivatives.js';
import { Flat, FlatLayout, type Init } from './flat.js';
import { compileProgram, type CompileOptions, type Program } from './program.js';
import { checkAxis, checkShape, elementCount, sameShape, shapeMismatch, type Shape } from './shape.js';
import { type Kind, Value } from './value.js';

/** What {@link Graph.param} takes besides name and shape. */
export interface ParamOptions {
  /** Default `{ kind: 'zeros' }`. */
  init?: Init;
  /** Whether weight decay applies; default true. */
  decay?: boolean;
}

/** In the order of `Distribution` in native/ir/graph.h. */
const distributions = ['uniform', 'normal', 'rademacher'] as const;
/** `uniform` on [0, 1), standard `normal`, or `rademacher` (-1 or 1, equally likely). */
export type Distribution = (typeof distributions)[number];

const reserved = ['params', 'buffers', 'key'];
const inits = ['zeros', 'constant', 'uniform', 'normal', 'kaimingUniform', 'values'] as const;

/** A named flat array of the graph. @internal */
export interface GraphSlot {
  index: number;
  kind: Kind;
  size: number;
  /** Whether it holds one row per member unless said otherwise. */
  perMember: boolean;
  leaf: Value | null;
}

/**
 * Where a model, its loss and their derivatives are written down. Expressions have shapes and no data; {@link compile}
 * makes a {@link Program} that runs on data, for many members at once.
 *
 * @example
 * ```ts
 * import { Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const x = graph.input('x', [4, 2]);
 * const w = graph.param('w', [2]);
 * const loss = x.mul(w).sum(1).sin().mean();
 * const v = graph.direction('v');
 * using program = graph.compile({ loss, gradient: graph.grad(loss), hvp: graph.hvp(loss, v) });
 * const result = await program.run({ x: new Array(8).fill(0.5), params: program.vector('params'), v: program.vector('v') });
 * result.loss.item(); // 0: the parameters are zeros
 * ```
 */
export class Graph implements Disposable {
  #native: NativeGraph | null;
  readonly #values: Value[] = [];
  readonly #slots = new Map<string, GraphSlot>();
  readonly #layouts = { params: new FlatLayout(), buffers: new FlatLayout() };
  readonly #updates = new Map<Value, Value>();
  readonly #directions = new Set<string>();
  #nextStream = 0;

  constructor() {
    const addon = loadNative();
    this.#native = callNative(() => new addon.Graph());
  }

  /** @internal */
  get native(): NativeGraph {
    if (this.#native) return this.#native;
    throw new PtmzError('DISPOSED', 'The graph was disposed');
  }

  /** The number of expressions. Equal ones count once. */
  get size(): number {
    return this.native.size;
  }

  /** @internal */
  get slots(): ReadonlyMap<string, GraphSlot> {
    return this.#slots;
  }

  /** The Value of a native node; one object per node. @internal */
  value(id: number): Value {
    return (this.#values[id] ??= new Value(this, id, this.native.shape(id), this.native.kind(id)));
  }

  /** Native ids of values, which must belong to this graph. @internal */
  ids(values: readonly Value[]): number[] {
    return values.map((value) => {
      if (!(value instanceof Value)) throw invalidArgument('an input', 'a Value', value);
      if (value.graph !== this)
        throw new PtmzError('INVALID_ARGUMENT', 'Expected values of one graph but received values of two graphs');
      return value.id;
    });
  }

  /** Adds a node of native/ir/op.def. @internal */
  node(op: string, inputs: readonly Value[], ints: number[] = [], reals: number[] = [], shape: Shape = []): Value {
    const { native } = this;
    const ids = this.ids(inputs);
    return this.value(callNative(() => native.node(op, ids, ints, reals, [...shape])));
  }

  /**
   * Adds a node of native/ir/fused.def that has the same value as `fallback`: a kernel that is used where nothing
   * differentiates further, or a composite with a derivative rule of its own.
   * @internal
   */
  fused(kind: string, inputs: readonly Value[], ints: number[], reals: number[], fallback: Value): Value {
    const { native } = this;
    const ids = this.ids(inputs);
    const [id] = this.ids([fallback]);
    return this.value(callNative(() => native.fused(kind, ids, ints, reals, id!)));
  }

  /** Declares a slot, or makes an existing one larger. @internal */
  slot(name: string, kind: Kind, size: number, perMember: boolean): GraphSlot {
    const index = callNative(() => this.native.slot(name, kind, size));
    const slot = this.#slots.get(name) ?? { index, kind, size, perMember, leaf: null };
    slot.size = Math.max(slot.size, size);
    this.#slots.set(name, slot);
    return slot;
  }

  /**
   * A tensor that is given when a program runs, under its own name. Data are shared by all members unless
   * {@link CompileOptions.varying} names them. Asking again for the same name, shape and kind gives the same Value.
   *
   * @param name not `params`, `buffers`, `key`, nor beginning with `out:`
   * @param shape sizes >= 1, at most 8 axes
   * @param kind `index` for labels and tokens (int32)
   * @throws PtmzError `INVALID_ARGUMENT` where the name is taken, `SHAPE_MISMATCH` where it has another shape
   */
  input(name: string, shape: Shape, kind: Kind = 'real'): Value {
    checkString('name of input', name);
    checkShape('shape of input', shape);
    checkOneOf('kind of input', kind, ['real', 'index']);
    if (reserved.includes(name) || name.startsWith('out:') || this.#directions.has(name))
      throw invalidArgument('name of input', `a name that is not taken (${reserved.join(', ')}, out:...)`, name);
    const known = this.#slots.get(name)?.leaf;
    if (!known) return this.#leaf(this.slot(name, kind, elementCount(shape), false), shape);
    if (!sameShape(known.shape, shape))
      throw shapeMismatch(`input '${name}'`, 'one shape per name', known.shape, shape);
    if (known.kind !== kind) throw invalidArgument(`kind of input '${name}'`, known.kind, kind);
    return known;
  }

  #leaf(slot: GraphSlot, shape: Shape): Value {
    slot.leaf = this.node('input', [], [slot.index, 0], [], shape);
    return slot.leaf;
  }

  /**
   * A trained tensor, at the next offset of the flat vector `params`.
   *
   * @param name unique among the parameters, by custom a state-dict key such as `layer1.0.bn1.weight`
   * @throws PtmzError `INVALID_ARGUMENT` where the name exists
   */
  param(name: string, shape: Shape, options: ParamOptions = {}): Value {
    checkObject('options of param', options, ['init', 'decay']);
    return this.#tensor('params', name, shape, options);
  }

  /**
   * A tensor that is kept with the parameters but not trained (running statistics), in the flat vector `buffers`. With
   * `persistent: false` state dicts leave it out (torch's register_buffer).
   */
  buffer(name: string, shape: Shape, options: { init?: Init; persistent?: boolean } = {}): Value {
    checkObject('options of buffer', options, ['init', 'persistent']);
    checkBoolean('persistent of buffer', options.persistent ?? true);
    return this.#tensor('buffers', name, shape, { ...options, decay: false });
  }

  #tensor(
    slotName: 'params' | 'buffers',
    name: string,
    shape: Shape,
    options: ParamOptions & { persistent?: boolean },
  ): Value {
    const layout = this.#layouts[slotName];
    checkString(`name of a tensor in ${slotName}`, name);
    checkShape(`shape of '${name}'`, shape);
    if (layout.entries.some((entry) => entry.name === name))
      throw invalidArgument(`name of a tensor in ${slotName}`, 'a name that is not taken', name);
    const init = options.init ?? { kind: 'zeros' };
    checkOneOf(`init.kind of '${name}'`, init.kind, inits);
    if (init.kind === 'values' && init.values.length !== elementCount(shape))
      throw invalidArgument(`init.values of '${name}'`, `${elementCount(shape)} numbers`, init.values.length);
    const offset = layout.reserve(shape);
    const slot = this.slot(slotName, 'real', layout.size, true);
    const value = this.node('param', [], [slot.index, offset], [], shape);
    const { decay = true, persistent = true } = options;
    layout.entries.push({ name, offset, shape: [...shape], value, init, decay, persistent });
    return value;
  }

  /** All parameters in their layout. */
  get params(): Flat {
    return new Flat(this, this.#layouts.params.size, [...this.#layouts.params.entries]);
  }

  /** All buffers in their layout. */
  get buffers(): Flat {
    return new Flat(this, this.#layouts.buffers.size, [...this.#layouts.buffers.entries]);
  }

  /**
   * Says what a buffer becomes after a step. Nothing happens by itself: {@link updatedBuffers} is what a program gives
   * out, and the training loop keeps it. A second update of a buffer replaces the first.
   *
   * @throws PtmzError `INVALID_ARGUMENT` where `buffer` is none, `SHAPE_MISMATCH` where `next` has another shape
   */
  update(buffer: Value, next: Value): void {
    if (!this.#layouts.buffers.entries.some((entry) => entry.value === buffer))
      throw invalidArgument('buffer of update', 'a Value made by buffer()', buffer);
    this.ids([next]);
    if (!sameShape(buffer.shape, next.shape)) throw shapeMismatch('update', 'equal shapes', buffer.shape, next.shape);
    this.#updates.set(buffer, next);
  }

  /** What {@link update} said last about a buffer; the buffer itself before that. */
  updated(buffer: Value): Value {
    return this.#updates.get(buffer) ?? buffer;
  }

  /** Whether {@link update} said anything. */
  get updates(): boolean {
    return this.#updates.size > 0;
  }

  /** The buffers after a step, in the layout of {@link buffers}; those without an update are copied. */
  get updatedBuffers(): Flat {
    const { buffers } = this;
    return buffers.withValues(buffers.entries.map((entry) => this.updated(entry.value!)));
  }

  /** A constant: every element is `value`; shape [] when left out. */
  constant(value: number, shape: Shape = []): Value {
    if (typeof value !== 'number') throw invalidArgument('value of constant', 'a number', value);
    checkShape('shape of constant', shape);
    return this.node('constant', [], [], [value], shape);
  }

  /** Each element is its position along `axis`: 0, 1, 2, ... (torch.arange, expanded). */
  iota(shape: Shape, axis = -1): Value {
    checkShape('shape of iota', shape);
    return this.node('iota', [], [checkAxis('iota', axis, shape.length)], [], shape);
  }

  /**
   * Random numbers, drawn anew in every run from the input `key` (see {@link randomKey}): per member, by position, the
   * same on every device. Equal streams of one shape and distribution are one Value.
   *
   * @param stream in [0, 2^31); default: a number that no other call with a default gets
   */
  random(shape: Shape, distribution: Distribution = 'uniform', stream?: number): Value {
    checkShape('shape of random', shape);
    checkOneOf('distribution', distribution, distributions);
    const number = stream === undefined ? this.#nextStream : checkInteger('stream', stream, 0, 2 ** 31 - 1);
    if (number >= this.#nextStream) this.#nextStream = number + 1;
    const key = this.#slots.get('key')?.leaf ?? this.#leaf(this.slot('key', 'index', 4, true), [4]);
    return this.node('random', [key], [distributions.indexOf(distribution), number], [], shape);
  }

  /**
   * A vector that is given when a program runs, in the layout of the parameters: the `v` of an HVP.
   * Take it after the last parameter was added.
   */
  direction(name: string): Flat {
    checkString('name of direction', name);
    const slotOfOtherUse = this.#slots.has(name) && !this.#directions.has(name);
    if (reserved.includes(name) || slotOfOtherUse || name.startsWith('out:'))
      throw invalidArgument('name of direction', 'a name that is not taken', name);
    const { params } = this;
    this.#directions.add(name);
    const { index } = this.slot(name, 'real', params.size, true);
    return params.withValues(params.entries.map((e) => this.node('param', [], [index, e.offset], [], e.shape)));
  }

  /**
   * The gradient of a loss with one element (torch.autograd.grad), as an expression that can be differentiated again.
   * With respect to all parameters, in their layout, or to the Value or Values given as `wrt`, also inner ones.
   *
   * @throws PtmzError `SHAPE_MISMATCH` where the loss has more than one element
   */
  grad(loss: Value): Flat;
  grad(loss: Value, wrt: Value): Value;
  grad(loss: Value, wrt: readonly Value[]): Value[];
  grad(loss: Value, wrt?: Value | readonly Value[]): Flat | Value | Value[] {
    if (wrt === undefined) {
      const { params } = this;
      const values = params.entries.map((entry) => entry.value!);
      return params.withValues(gradOrNull(this, loss, values));
    }
    if (wrt instanceof Value) return this.grad(loss, [wrt])[0]!;
    return gradOrNull(this, loss, wrt).map((g, i) => g ?? this.constant(0, wrt[i]!.shape));
  }

  /**
   * d <outputs, cotangents> / d wrt (torch.autograd.grad with grad_outputs), zeros where nothing leads there.
   *
   * @param cotangents shaped as the outputs
   */
  vjp(outputs: readonly Value[], cotangents: readonly Value[], wrt: readonly Value[]): Value[] {
    return vjpOrNull(this, outputs, cotangents, wrt).map((g, i) => g ?? this.constant(0, wrt[i]!.shape));
  }

  /** (d outputs / d wrt) tangents (torch.func.jvp), one Value per output. @param tangents shaped as `wrt` */
  jvp(outputs: readonly Value[], wrt: readonly Value[], tangents: readonly Value[]): Value[] {
    return jvp(this, outputs, wrt, tangents);
  }

  /** The Hessian of a loss times a direction, both over all parameters: d <d loss, v> (Pearlmutter 1994). */
  hvp(loss: Value, direction: Flat): Flat {
    return this.grad(this.dot(this.grad(loss), direction));
  }

  /** The inner product of two vectors of one layout; shape []. */
  dot(a: Flat, b: Flat): Value {
    return dot(this, a, b);
  }

  /**
   * Compiles what `outputs` need, for these shapes and one element type. A {@link Flat} becomes one vector.
   *
   * @param outputs name -> what to compute; at least one
   * @throws PtmzError `INVALID_ARGUMENT` for an unknown slot in `varying` or a value of another graph
   */
  compile(outputs: Record<string, Value | Flat>, options: CompileOptions = {}): Program {
    for (const name of this.#directions) this.slot(name, 'real', this.#layouts.params.size, true);
    return compileProgram(this, outputs, options);
  }

  /** The expressions as text, one per line. */
  dump(...values: Value[]): string {
    const ids = this.ids(values);
    return callNative(() => this.native.dump(ids));
  }

  /** Frees the expressions; programs made from them stay usable. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = null;
  }

  /** The same as {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
