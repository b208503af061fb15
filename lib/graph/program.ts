/** Program: a compiled graph that runs on vectors, for many members at once. */
import { checkDevice } from '../device.js';
import {
  callNative,
  captureStack,
  checkBoolean,
  checkInteger,
  checkObject,
  checkOneOf,
  invalidArgument,
  PtmzError,
  unexpected,
  wrapNative,
} from '../errors.js';
import type { NativeArray, NativePlan, NativeProgram, NativeRunStats, NativeVector } from '../native.js';
import { checkPrecision, type Precision } from '../precision.js';
import { Flat } from './flat.js';
import type { Graph } from './graph.js';
import { elementCount } from './shape.js';
import { type Kind, Value } from './value.js';
import { convertArray, Vector, type DType } from './vector.js';

/** What {@link Graph.compile} takes besides the outputs. */
export interface CompileOptions {
  /** The element type of real values: `float32` (default) or `float64`. */
  dtype?: 'float32' | 'float64';
  /**
   * Names of the slots that hold one row per member; all others are shared, and what depends only on them is computed
   * once. Default: `params`, `buffers`, `key` and all directions.
   */
  varying?: string[];
  /** Use fused kernels and merged elementwise launches. Default true, or false where PTMZ_FUSE=0 is set. */
  fuse?: boolean;
  /** Where the program runs and its vectors lie: `cpu` (default), `cuda` or `cuda:N`. It never falls back. */
  device?: string;
  /** What products round their factors to, of a program in float32 on a CUDA device; default `float32`: not at all. */
  precision?: Precision;
}

/** What {@link Program.run} takes besides the inputs. */
export interface RunOptions {
  /** How many members; default: the rows of the first varying input. */
  members?: number;
  /** Threads, 0 (default): all cores. */
  threads?: number;
  /** Bytes for intermediate results, 0 (default): what the machine has free. Members beyond it run in chunks. */
  memoryLimit?: number;
  /** Stops the run; the promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** Vectors to write outputs into, instead of new ones. */
  into?: Record<string, Vector>;
}

/** An input or output of a {@link Program}. */
export interface ProgramSlot {
  readonly name: string;
  readonly kind: Kind;
  /** Elements of a row. */
  readonly size: number;
  /** Whether it has one row per member; otherwise one row. */
  readonly varies: boolean;
  /** @internal */
  readonly index: number;
}

/** What a program is given for an input. An array holds the rows one after the other. */
export type RunInput = Vector | NativeArray | readonly number[];

export type { NativePlan as ProgramPlan, NativeRunStats as RunStats } from '../native.js';

const defaultVarying = ['params', 'buffers', 'key'];

// An output slot is named out:<name>. Slots keep their size, so a second program of the graph with another size of the
// same name gets a slot of its own.
function outputSlot(graph: Graph, name: string, kind: Kind, size: number) {
  const plain = graph.slots.get(`out:${name}`);
  const taken = plain !== undefined && (plain.size !== size || plain.kind !== kind);
  return graph.slot(taken ? `out:${name}:${kind}${size}` : `out:${name}`, kind, size, false);
}

function placements(graph: Graph, name: string, output: Value | Flat) {
  if (output instanceof Value) {
    const slot = outputSlot(graph, name, output.kind, elementCount(output.shape)).index;
    return { slot, places: [{ node: graph.ids([output])[0]!, slot, offset: 0 }] };
  }
  if (!(output instanceof Flat)) throw invalidArgument(`output '${name}'`, 'a Value or a Flat', output);
  if (output.entries.length === 0)
    throw new PtmzError('INVALID_ARGUMENT', `Expected a vector with tensors for output '${name}' but it is empty`);
  const slot = outputSlot(graph, name, 'real', output.size).index;
  const places = output.entries.map((entry) => {
    const value = entry.value ?? graph.constant(0, entry.shape);
    return { node: graph.ids([value])[0]!, slot, offset: entry.offset };
  });
  return { slot, places };
}

/** See {@link Graph.compile}. @internal */
export function compileProgram(graph: Graph, outputs: Record<string, Value | Flat>, options: CompileOptions): Program {
  checkObject('outputs', outputs);
  checkObject('options of compile', options, ['dtype', 'varying', 'fuse', 'device', 'precision']);
  const dtype = checkOneOf('dtype', options.dtype ?? 'float32', ['float32', 'float64']);
  const device = checkDevice('device', options.device ?? 'cpu');
  const precision = checkPrecision(options.precision, { dtype, device });
  const names = Object.keys(outputs);
  if (names.length === 0) throw invalidArgument('outputs', 'at least one output', outputs);
  const varying = varyingSlots(graph, options.varying);
  const placed = names.map((name) => placements(graph, name, outputs[name]!));
  const native = callNative(() =>
    graph.native.compile({
      outputs: placed.flatMap(({ places }) => places),
      dtype,
      precision,
      varying,
      fuse: checkBoolean('fuse', options.fuse ?? process.env.PTMZ_FUSE !== '0'),
      device,
    }),
  );
  return new Program(native, dtype, device, new Map(names.map((name, i) => [name, placed[i]!.slot])));
}

function varyingSlots(graph: Graph, names: string[] | undefined): number[] {
  const inputs = [...graph.slots].filter(([name]) => !name.startsWith('out:'));
  if (names === undefined) return inputs.filter(([, slot]) => slot.perMember).map(([, slot]) => slot.index);
  if (!Array.isArray(names)) throw invalidArgument('varying', 'an array of slot names', names);
  return names.flatMap((name) => {
    const slot = inputs.find(([known]) => known === name);
    if (slot) return [slot[1].index];
    if (defaultVarying.includes(name)) return [];
    throw invalidArgument('varying', `names of inputs (${inputs.map(([known]) => known).join(', ')})`, name);
  });
}

/**
 * A compiled graph. One program runs any number of members: the list of launches is the same, what members share is
 * computed once.
 *
 * @example
 * ```ts
 * import { Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const y = graph.input('x', [2]).mul(graph.param('w', [2])).sum();
 * using program = graph.compile({ y });
 * using params = program.vector('params', 3).fill(1); // three members
 * const result = await program.run({ x: [1, 2], params });
 * result.y.rows; // 3
 * ```
 */
export class Program implements Disposable {
  #native: NativeProgram | null;
  #lastRun: NativeRunStats | undefined;
  readonly #slotNames: readonly string[];
  /** What {@link run} must be given. */
  readonly inputs: readonly ProgramSlot[];
  /** What {@link run} gives. */
  readonly outputs: readonly ProgramSlot[];
  /** Launches and bytes. They do not depend on the number of members. */
  readonly plan: NativePlan;

  /** Use {@link Graph.compile}. @internal */
  constructor(
    native: NativeProgram,
    readonly dtype: 'float32' | 'float64',
    /** `cpu` or `cuda:N`. */
    readonly device: string,
    outputs: ReadonlyMap<string, number>,
  ) {
    this.#native = native;
    const { slots } = native;
    const describe = (index: number, name: string): ProgramSlot => {
      const { kind, size, varies } = slots[index]!;
      return { name, kind, size, varies, index };
    };
    this.inputs = slots.flatMap((slot, index) => (slot.read ? [describe(index, slot.name)] : []));
    this.outputs = [...outputs].map(([name, index]) => describe(index, name));
    this.#slotNames = slots.map((slot) => slot.name);
    this.plan = native.plan;
  }

  /** @internal */
  get native(): NativeProgram {
    if (this.#native) return this.#native;
    throw new PtmzError('DISPOSED', 'The program was disposed');
  }

  /** What the last run did: launches, chunks, bytes. */
  get lastRun(): NativeRunStats | undefined {
    return this.#lastRun;
  }

  /**
   * A vector of zeros that fits an input or output.
   *
   * @param name of an input, or else of an output
   * @param members rows where the slot varies; others have one row
   * @throws PtmzError `INVALID_ARGUMENT` where there is no such input or output
   */
  vector(name: string, members = 1): Vector {
    const slot = [...this.inputs, ...this.outputs].find((s) => s.name === name);
    if (!slot) {
      const names = [...this.inputs, ...this.outputs].map((s) => s.name).join(', ');
      throw invalidArgument('name of vector', `one of ${names}`, name);
    }
    return this.#vector(slot, checkInteger('members', members, 1, 2 ** 31 - 1));
  }

  #vector(slot: ProgramSlot, members: number): Vector {
    return new Vector(this.#dtypeOf(slot), slot.varies ? members : 1, slot.size, this.device);
  }

  #dtypeOf(slot: ProgramSlot): DType {
    return slot.kind === 'index' ? 'int32' : this.dtype;
  }

  /**
   * Runs for all members on native threads. Inputs of the graph that this program does not read are ignored.
   *
   * @param inputs name -> a vector, or numbers that are copied into one for this run
   * @returns name -> a vector, one row per member where the output depends on one; yours to dispose
   * @throws PtmzError (as rejection) `INVALID_ARGUMENT` missing input, wrong type, rows or size; `INDEX_OUT_OF_RANGE`;
   * `OUT_OF_MEMORY`; `BUSY` where this program or a vector it writes is in use; `DISPOSED`. With an aborted signal it
   * rejects with `signal.reason`.
   */
  async run(inputs: Record<string, RunInput>, options: RunOptions = {}): Promise<Record<string, Vector>> {
    const site: { stack?: string } = {};
    captureStack(site);
    checkObject('inputs', inputs);
    checkObject('options of run', options, ['members', 'threads', 'memoryLimit', 'signal', 'into']);
    const threads = checkInteger('threads', options.threads ?? 0, 0, 4096);
    const memoryLimit = checkInteger('memoryLimit', options.memoryLimit ?? 0, 0);
    const { signal, into = {} } = options;
    checkObject(
      'into',
      into,
      this.outputs.map((slot) => slot.name),
    );
    signal?.throwIfAborted();

    const members = this.#members(inputs, options.members);
    const created: Vector[] = [];
    const results: Record<string, Vector> = {};
    const temporaries: Vector[] = [];
    try {
      const vectors: (NativeVector | null)[] = this.#slotNames.map(() => null);
      for (const slot of this.inputs)
        vectors[slot.index] = this.#input(slot, inputs[slot.name], members, temporaries).native;
      for (const slot of this.outputs) {
        const given = into[slot.name];
        const vector = given ?? this.#vector(slot, members);
        if (given) this.#checkVector(slot, given, members);
        else created.push(vector);
        results[slot.name] = vector;
        vectors[slot.index] = vector.native;
      }
      this.#lastRun = await this.#job(vectors, { members, threads, memoryLimit }, signal);
      return results;
    } catch (error) {
      created.forEach((vector) => vector.dispose());
      throw wrapNative(error, site);
    } finally {
      temporaries.forEach((vector) => vector.dispose());
    }
  }

  async #job(
    vectors: (NativeVector | null)[],
    options: { members: number; threads: number; memoryLimit: number },
    signal: AbortSignal | undefined,
  ): Promise<NativeRunStats> {
    const job = this.native.run(vectors, options);
    const cancel = () => job.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await job.promise;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  #members(inputs: Record<string, RunInput>, asked: number | undefined): number {
    for (const name of Object.keys(inputs))
      if (!this.#slotNames.includes(name))
        throw invalidArgument('inputs', `names among ${this.inputs.map((s) => s.name).join(', ')}`, name);
    if (asked !== undefined) return checkInteger('members', asked, 1, 2 ** 31 - 1);
    const first = this.inputs.find((slot) => slot.varies && slot.size > 0 && inputs[slot.name] !== undefined);
    if (!first) return 1;
    const given = inputs[first.name]!;
    return given instanceof Vector ? given.rows : Math.max(1, Math.floor(given.length / first.size));
  }

  #input(slot: ProgramSlot, given: RunInput | undefined, members: number, temporaries: Vector[]): Vector {
    if (given === undefined) throw invalidArgument(`input '${slot.name}'`, 'a Vector or numbers', given);
    if (given instanceof Vector) {
      this.#checkVector(slot, given, members);
      return given;
    }
    const dtype = this.#dtypeOf(slot);
    const rows = slot.varies ? members : 1;
    const data = convertArray(`input '${slot.name}'`, dtype, given);
    if (data.length !== rows * slot.size)
      throw unexpected(`input '${slot.name}'`, `${rows} x ${slot.size} numbers`, `${data.length} numbers`);
    const vector = new Vector(dtype, rows, slot.size, this.device);
    temporaries.push(vector);
    for (let row = 0; row < rows; ++row) vector.set(row, data.subarray(row * slot.size, (row + 1) * slot.size));
    return vector;
  }

  #checkVector(slot: ProgramSlot, vector: Vector, members: number): void {
    if (!(vector instanceof Vector)) throw invalidArgument(`'${slot.name}'`, 'a Vector', vector);
    const rows = slot.varies ? members : 1;
    const expected = `${this.#dtypeOf(slot)} ${rows} x ${slot.size}`;
    const actual = `${vector.dtype} ${vector.rows} x ${vector.size}`;
    if (actual !== expected) throw unexpected(`'${slot.name}'`, `a vector ${expected}`, actual);
    if (vector.device !== this.device)
      throw unexpected(`'${slot.name}'`, `a vector on ${this.device}`, `one on ${vector.device}`);
  }

  /** The launches and the memory plan as text. */
  dump(): string {
    return callNative(() => this.native.dump());
  }

  /** Frees the program; while a job uses it, at the job's end. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = null;
  }

  /** The same as {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
