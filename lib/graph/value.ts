/** Value: a tensor expression of a graph, with torch-named methods that make new ones. */
import type { Graph } from './graph.js';
import * as ops from './operators.js';
import type { Axes, GatherOptions, MatmulOptions, Operand } from './operators.js';
import type { Shape } from './shape.js';

/** `real`: float32 or float64, chosen when the graph is compiled. `index`: int32, without derivatives. */
export type Kind = 'real' | 'index';

/**
 * A tensor expression. It has a shape and no data: data appear when a program that was compiled from it runs.
 * Equal expressions are one object. Binary methods broadcast as NumPy does and accept numbers; axes may be negative.
 * Methods throw PtmzError: `SHAPE_MISMATCH` with both shapes, `INVALID_ARGUMENT` for another kind, axis or graph,
 * `DISPOSED` after the graph was disposed.
 *
 * @example
 * ```ts
 * import { Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const x = graph.input('x', [8, 3]);
 * const w = graph.param('w', [3]);
 * const loss = x.mul(w).sum(-1).tanh().square().mean(); // shape []
 * ```
 */
export class Value {
  /** Use the methods of {@link Graph}. @internal */
  constructor(
    readonly graph: Graph,
    readonly id: number,
    readonly shape: Shape,
    readonly kind: Kind,
  ) {}

  /** x + y (torch.add). */
  add(y: Operand): Value {
    return ops.add(this, y);
  }
  /** x - y (torch.sub). */
  sub(y: Operand): Value {
    return ops.sub(this, y);
  }
  /** x * y, element by element (torch.mul). */
  mul(y: Operand): Value {
    return ops.mul(this, y);
  }
  /** x / y (torch.div). */
  div(y: Operand): Value {
    return ops.div(this, y);
  }
  /** -x (torch.neg). */
  neg(): Value {
    return ops.neg(this);
  }
  /** 1 / x (torch.reciprocal). */
  reciprocal(): Value {
    return ops.reciprocal(this);
  }
  /** e to the x (torch.exp). */
  exp(): Value {
    return ops.exp(this);
  }
  /** The natural logarithm, for x > 0 (torch.log). */
  log(): Value {
    return ops.log(this);
  }
  /** The square root, for x >= 0; its derivative at 0 is infinite (torch.sqrt). */
  sqrt(): Value {
    return ops.sqrt(this);
  }
  /** x to a fixed power (torch.pow). */
  pow(exponent: number): Value {
    return ops.pow(this, exponent);
  }
  /** x * x (torch.square). */
  square(): Value {
    return ops.square(this);
  }
  /** The hyperbolic tangent (torch.tanh). */
  tanh(): Value {
    return ops.tanh(this);
  }
  /** The sine of x in radians (torch.sin). */
  sin(): Value {
    return ops.sin(this);
  }
  /** The cosine of x in radians (torch.cos). */
  cos(): Value {
    return ops.cos(this);
  }
  /** The error function (torch.erf). */
  erf(): Value {
    return ops.erf(this);
  }
  /** max(x, 0); the derivative at 0 is 0 (torch.relu). */
  relu(): Value {
    return ops.relu(this);
  }
  /** 1 / (1 + exp(-x)) (torch.sigmoid). */
  sigmoid(): Value {
    return ops.sigmoid(this);
  }
  /** log(1 + exp(x)) (torch.nn.functional.softplus). */
  softplus(): Value {
    return ops.softplus(this);
  }
  /** |x|; the derivative at 0 is 0 (torch.abs). */
  abs(): Value {
    return ops.abs(this);
  }
  /** The larger of both; equal numbers share the gradient (torch.maximum). */
  maximum(y: Operand): Value {
    return ops.maximum(this, y);
  }
  /** The smaller of both; equal numbers share the gradient (torch.minimum). */
  minimum(y: Operand): Value {
    return ops.minimum(this, y);
  }

  /** 1 where x < y, else 0 (torch.lt); comparisons have no derivative, and with NaN all but `ne` are 0. */
  lt(y: Operand): Value {
    return ops.compare('lt', this, y);
  }
  /** 1 where x <= y, else 0 (torch.le). */
  le(y: Operand): Value {
    return ops.compare('le', this, y);
  }
  /** 1 where x > y, else 0 (torch.gt). */
  gt(y: Operand): Value {
    return ops.compare('gt', this, y);
  }
  /** 1 where x >= y, else 0 (torch.ge). */
  ge(y: Operand): Value {
    return ops.compare('ge', this, y);
  }
  /** 1 where x equals y, else 0 (torch.eq). */
  eq(y: Operand): Value {
    return ops.compare('eq', this, y);
  }
  /** 1 where x differs from y, else 0 (torch.ne). */
  ne(y: Operand): Value {
    return ops.compare('ne', this, y);
  }
  /** An index value as real numbers, without derivative (torch.Tensor.to). */
  cast(): Value {
    return ops.cast(this);
  }
  /** The same numbers; no gradient goes through (torch.Tensor.detach). */
  stopGradient(): Value {
    return ops.stopGradient(this);
  }

  /** The sum over axes, all when left out (torch.sum). `keepdim` keeps them with size 1. */
  sum(axes?: Axes, keepdim = false): Value {
    return ops.sum(this, axes, keepdim);
  }
  /** The mean over axes, all when left out (torch.mean). */
  mean(axes?: Axes, keepdim = false): Value {
    return ops.mean(this, axes, keepdim);
  }
  /** The largest element over axes; equal maxima share the gradient (torch.amax). */
  amax(axes?: Axes, keepdim = false): Value {
    return ops.amax(this, axes, keepdim);
  }
  /** The position of the first largest element along an axis; of kind index (torch.argmax). */
  argmax(axis: number, keepdim = false): Value {
    return ops.argmax(this, axis, keepdim);
  }
  /** The variance over axes in two passes, divided by count - correction (torch.var; here correction defaults to 0). */
  var(axes?: Axes, keepdim = false, correction = 0): Value {
    return ops.variance(this, axes, keepdim, correction);
  }
  /** log(sum(exp(x))) over axes, without overflow (torch.logsumexp). */
  logsumexp(axes?: Axes, keepdim = false): Value {
    return ops.logsumexp(this, axes, keepdim);
  }

  /** The same elements in another shape; one size may be -1 (torch.reshape). */
  reshape(shape: Shape): Value {
    return ops.reshape(this, shape);
  }
  /** Axes in another order: axis i of the result is axis order[i] of x (torch.permute). */
  permute(order: readonly number[]): Value {
    return ops.permute(this, order);
  }
  /** Two axes exchanged, the last two when left out (torch.transpose). */
  transpose(axis0 = -2, axis1 = -1): Value {
    return ops.transpose(this, axis0, axis1);
  }
  /** Axes of size 1 repeated; new axes may appear in front, -1 keeps a size (torch.Tensor.expand). */
  expand(shape: Shape): Value {
    return ops.expand(this, shape);
  }
  /** x[start:stop:step] along an axis, step > 0 (Python's slices). */
  slice(axis: number, start = 0, stop?: number, step = 1): Value {
    return ops.slice(this, axis, start, stop, step);
  }
  /** Zeros around: pairs (low, high) from the last axis on (torch.nn.functional.pad). */
  pad(pairs: readonly number[]): Value {
    return ops.pad(this, pairs);
  }
  /** The matrix product; batch axes broadcast, rank 1 is a vector (torch.matmul). */
  matmul(y: Value, options: MatmulOptions = {}): Value {
    return ops.matmul(this, y, options);
  }
  /** Element index[...] along an axis; the index has x's shape on all other axes (torch.gather). */
  gather(axis: number, index: Value, options: GatherOptions = {}): Value {
    return ops.gather(this, axis, index, options);
  }
  /** Zeros with `size` along the axis, to which x is added at index[...] (torch.scatter_add). */
  scatterAdd(axis: number, index: Value, size: number, options: GatherOptions = {}): Value {
    return ops.scatterAdd(this, axis, index, size, options);
  }
}
