/** BatchProgram: a model's graph compiled for one batch size, with its vectors, in the form that solvers take. */
import type { Flat } from '../graph/flat.js';
import type { Program } from '../graph/program.js';
import type { Value } from '../graph/value.js';
import type { Vector } from '../graph/vector.js';
import { buildBatch, type BatchMode, type Trainable } from '../models/trainable.js';
import type { NativeBatchProgram } from '../native.js';
import type { Precision } from '../precision.js';

/** The element type of parameters and of all arithmetic. */
export type RealType = 'float32' | 'float64';

/** The role of a slot for the solver, by the slot's name. */
const roles = {
  x: 'x',
  y: 'y',
  key: 'key',
  loss: 'loss',
  correct: 'correct',
  grad: 'grad',
  nextBuffers: 'nextBuffers',
  params: 'params',
  buffers: 'buffers',
  v: 'v',
  hv: 'hv',
} as const satisfies Record<string, keyof NativeBatchProgram['slots']>;

/** @internal */
export class BatchProgram implements Disposable {
  readonly native: NativeBatchProgram;
  readonly #own: Vector[] = [];

  /**
   * @param members rows of the slots that vary
   * @param given vectors that are used as they are; the others are made, and disposed of with this
   */
  constructor(
    readonly program: Program,
    readonly batch: number,
    members: number,
    given: Record<string, Vector | null | undefined>,
  ) {
    const vectors: NativeBatchProgram['vectors'] = program.native.slots.map(() => null);
    const slots: NativeBatchProgram['slots'] = {};
    for (const slot of [...program.inputs, ...program.outputs]) {
      let vector = given[slot.name];
      if (!vector) {
        vector = program.vector(slot.name, members);
        this.#own.push(vector);
      }
      vectors[slot.index] = vector.native;
      const role = roles[slot.name as keyof typeof roles];
      if (role) slots[role] = slot.index;
    }
    this.native = { program: program.native, vectors, batch, slots };
  }

  dispose(): void {
    this.program.dispose();
    this.#own.forEach((vector) => vector.dispose());
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A program for whole batches and one for what is left; either may be missing. @internal */
export class BatchPrograms implements Disposable {
  readonly batch: BatchProgram | null;
  readonly tail: BatchProgram | null;

  constructor(count: number, batchSize: number, make: (batch: number) => BatchProgram) {
    this.batch = count >= batchSize ? make(batchSize) : null;
    try {
      const rest = count % batchSize;
      this.tail = rest > 0 ? make(rest) : null;
    } catch (error) {
      this.batch?.dispose();
      throw error;
    }
  }

  get native(): { batch: NativeBatchProgram | null; tail: NativeBatchProgram | null } {
    return { batch: this.batch?.native ?? null, tail: this.tail?.native ?? null };
  }

  dispose(): void {
    this.batch?.dispose();
    this.tail?.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Vectors of the population that programs share. @internal */
export interface PopulationVectors {
  params: Vector;
  buffers: Vector | null;
}

/** In which numbers a program computes. @internal */
export interface Arithmetic {
  dtype: RealType;
  precision?: Precision | undefined;
}

/** Loss, right answers, gradient and next running statistics of one training batch per member. @internal */
export function trainingProgram(
  model: Trainable,
  batch: number,
  { dtype, precision }: Arithmetic,
  vectors: PopulationVectors,
  mode: Omit<BatchMode, 'training'> = {},
): BatchProgram {
  const { graph, loss, correct } = buildBatch(model, batch, { ...mode, training: true });
  using _ = graph;
  const outputs: Record<string, Value | Flat> = { loss, grad: graph.grad(loss), ...(correct && { correct }) };
  if (graph.updates) outputs['nextBuffers'] = graph.updatedBuffers;
  const samples = [...graph.slots.keys()].filter((name) => name === 'x' || name === 'y');
  const { device } = vectors.params;
  const program = graph.compile(outputs, {
    dtype,
    precision,
    device,
    varying: [...samples, 'params', 'buffers', 'key'],
  });
  return new BatchProgram(program, batch, vectors.params.rows, { ...vectors });
}

/** Loss and right answers of every member on one shared batch, in evaluation mode; or the error of a problem. @internal */
export function evaluationProgram(
  model: Trainable,
  batch: number,
  { dtype, precision }: Arithmetic,
  vectors: PopulationVectors,
  mode: Omit<BatchMode, 'training'> & { part?: 'loss' | 'error' } = {},
): BatchProgram {
  const { graph, loss, correct, error } = buildBatch(model, batch, { ...mode, training: false });
  using _ = graph;
  const outputs = mode.part === 'error' ? { loss: error! } : { loss, ...(correct && { correct }) };
  const { device } = vectors.params;
  const program = graph.compile(outputs, { dtype, precision, device, varying: ['params', 'buffers', 'key'] });
  return new BatchProgram(program, batch, vectors.params.rows, { ...vectors });
}

/** Hessian-vector products of one member with many directions on one batch, in evaluation mode. @internal */
export function hessianProgram(
  model: Trainable,
  batch: number,
  { dtype, precision, device }: Arithmetic & { device: string },
  mode: Omit<BatchMode, 'training'> = {},
): BatchProgram {
  const { graph, loss } = buildBatch(model, batch, { ...mode, training: false });
  using _ = graph;
  const hv = graph.hvp(loss, graph.direction('v'));
  const program = graph.compile({ hv }, { dtype, precision, device, varying: ['v'] });
  return new BatchProgram(program, batch, 1, {});
}
