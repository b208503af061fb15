/** What each operator of the oracle's manifest is in this package: one row per name. */
import { PtmzError } from '../errors.js';
import type { Graph } from '../graph/graph.js';
import { concat, type Axes } from '../graph/operators.js';
import type { Value } from '../graph/value.js';
import * as nn from '../nn/index.js';
import type { Size2 } from '../nn/conv.js';

type Values = Record<string, Value>;
/** The attributes that the manifest gives, by the operator that has them. */
interface Attrs {
  stride: Size2;
  padding: Size2;
  dilation?: Size2;
  groups?: number;
  k: Size2;
  global?: boolean;
  count_include_pad?: boolean;
  training: boolean;
  momentum: number;
  eps: number;
  dim: number;
  log?: boolean;
  reduction: nn.Reduction;
  ignore_index?: number;
  label_smoothing?: number;
  approximate: 'none' | 'tanh';
  causal: boolean;
  ta?: boolean;
  tb?: boolean;
  f: string;
  keepdim: boolean;
  unbiased?: boolean;
  dims: number[];
  pad: number[];
  shape: number[];
}
type Row = (inputs: Values & { x: Value; w: Value }, attrs: Attrs, graph: Graph) => Value;

const unary: Record<string, (x: Value) => Value> = {
  relu: (x) => nn.relu(x),
  leakyrelu: (x) => nn.leakyRelu(x),
  tanh: (x) => x.tanh(),
  sigmoid: (x) => x.sigmoid(),
  silu: (x) => nn.silu(x),
  softplus: (x) => nn.softplus(x),
  exp: (x) => x.exp(),
  sin: (x) => x.sin(),
  cos: (x) => x.cos(),
  erf: (x) => x.erf(),
  square: (x) => x.square(),
  pow3: (x) => x.pow(3),
  log: (x) => x.log(),
  sqrt: (x) => x.sqrt(),
  rsqrt: (x) => x.sqrt().reciprocal(),
  reciprocal: (x) => x.reciprocal(),
};

const binary: Record<string, (x: Value, w: Value) => Value> = {
  add: (x, w) => x.add(w),
  sub: (x, w) => x.sub(w),
  mul: (x, w) => x.mul(w),
  div: (x, w) => x.div(w),
  max: (x, w) => x.maximum(w),
};

const reduce: Record<string, (x: Value, dim: Axes, keepdim: boolean, unbiased?: boolean) => Value> = {
  sum: (x, dim, keepdim) => x.sum(dim, keepdim),
  mean: (x, dim, keepdim) => x.mean(dim, keepdim),
  var: (x, dim, keepdim, unbiased) => x.var(dim, keepdim, unbiased === false ? 0 : 1),
  logsumexp: (x, dim, keepdim) => x.logsumexp(dim, keepdim),
  amax: (x, dim, keepdim) => x.amax(dim, keepdim),
};

const shape: Record<string, (x: Value, w: Value, attrs: Attrs) => Value> = {
  permute: (x, _, { dims }) => x.permute(dims),
  // The manifest gives no bounds; the reference values are those of x[:, 1:4, ::2].
  slice: (x) => x.slice(1, 1, 4).slice(2, 0, undefined, 2),
  pad: (x, _, { pad }) => x.pad(pad),
  cat: (x, w, { dim }) => concat([x, w], dim),
  expand: (x, _, { shape }) => x.expand(shape),
  permute_reshape: (x, _, { dims, shape }) => x.permute(dims).reshape(shape),
};

function pick<T>(table: Record<string, T>, op: string, attrs: Attrs): T {
  if (Object.hasOwn(table, attrs.f)) return table[attrs.f]!;
  throw new PtmzError('INVALID_ARGUMENT', `the function '${attrs.f}' of ${op} is unknown`);
}

// u, u_x, u_t and u_xx of a tanh network u(x, t): derivatives inside the value, as physics-informed losses have them.
function mlpDerivatives({ x, w0, b0, w1, b1, w2, b2 }: Values, graph: Graph): Value {
  const hidden = [
    [w0!, b0!],
    [w1!, b1!],
  ].reduce((h, [w, b]) => nn.linear(h, w!, b!).tanh(), x!);
  const u = nn.linear(hidden, w2!, b2!);
  const first = graph.grad(u.sum(), x!);
  const ux = first.slice(1, 0, 1);
  const uxx = graph.grad(ux.sum(), x!).slice(1, 0, 1);
  return concat([u, first, uxx], 1);
}

const rows: Record<string, Row> = {
  conv2d: ({ x, w, b }, { stride, padding, dilation = 1, groups = 1 }) =>
    nn.conv2d(x, w, { stride, padding, dilation, groups, ...(b && { bias: b }) }),
  maxpool: ({ x }, { k, stride, padding }) => nn.maxPool2d(x, k, { stride, padding }),
  avgpool: ({ x }, { global, k, stride, padding, count_include_pad: countIncludePad = true }) =>
    global ? nn.globalAvgPool2d(x) : nn.avgPool2d(x, k, { stride, padding, countIncludePad }),
  batchnorm: ({ x, w, b, rm, rv }, { training, momentum, eps }) =>
    nn.batchNorm(x, { weight: w, bias: b!, runningMean: rm!, runningVar: rv!, training, momentum, eps }),
  layernorm: ({ x, w, b }, { eps }) => nn.layerNorm(x, { weight: w, bias: b!, eps }),
  softmax: ({ x }, { dim, log }) => (log ? nn.logSoftmax(x, dim) : nn.softmax(x, dim)),
  crossentropy: ({ x, target }, attrs) =>
    nn.crossEntropy(x, target!, {
      reduction: attrs.reduction,
      ...(attrs.ignore_index !== undefined && { ignoreIndex: attrs.ignore_index }),
      labelSmoothing: attrs.label_smoothing ?? 0,
    }),
  gelu: ({ x }, { approximate }) => nn.gelu(x, approximate),
  attention: ({ q, k, v }, { causal }) => nn.attention(q!, k!, v!, { causal }),
  embedding: ({ idx, w }) => nn.embedding(idx!, w),
  linear: ({ x, w, b }) => nn.linear(x, w, b),
  matmul: ({ x, w }, { ta = false, tb = false }) => x.matmul(w, { transposeA: ta, transposeB: tb }),
  unary: ({ x }, attrs) => pick(unary, 'unary', attrs)(x),
  binary: ({ x, w }, attrs) => pick(binary, 'binary', attrs)(x, w),
  reduce: ({ x }, attrs) => pick(reduce, 'reduce', attrs)(x, attrs.dim, attrs.keepdim, attrs.unbiased),
  shape: ({ x, w }, attrs) => pick(shape, 'shape', attrs)(x, w, attrs),
  mse: ({ x, w }) => nn.mseLoss(x, w),
  mlp_derivs: (inputs, _, graph) => mlpDerivatives(inputs, graph),
};

/**
 * The value of an operator of the oracle.
 * @throws PtmzError `INVALID_ARGUMENT` for an operator that is not in the table
 */
export function buildOperator(graph: Graph, op: string, inputs: Values, attrs: Record<string, unknown>): Value {
  if (!Object.hasOwn(rows, op)) throw new PtmzError('INVALID_ARGUMENT', `the operator '${op}' is unknown`);
  return rows[op]!(inputs as Values & { x: Value; w: Value }, attrs as unknown as Attrs, graph);
}
