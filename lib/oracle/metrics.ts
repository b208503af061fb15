/** Runs one metric case: Hessians of small networks, and the estimators on them and on a ResNet, in float64. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { arrays, type DataSet } from '../data/dataset.js';
import { PtmzError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors.js';
import type { StoredTensor } from '../formats/storedTensor.js';
import type { FlatEntry } from '../graph/flat.js';
import { elementCount } from '../graph/shape.js';
import type { Value } from '../graph/value.js';
import { Vector } from '../graph/vector.js';
import { hessianEigenvalues } from '../landscape/eigenvalues.js';
import { hessianTrace, hvp } from '../landscape/hessian.js';
import { hessianSpectrum } from '../landscape/spectrum.js';
import type { Model } from '../models/model.js';
import { resnet } from '../models/resnet.js';
import { linear } from '../nn/index.js';
import { buildBatch } from '../models/trainable.js';
import type { Run } from '../train/run.js';
import { prepare } from '../train/trainer.js';
import { firstValues, integers, rademacher, uniform } from './hash.js';
import type { MetricCase } from './manifest.js';
import { numbers, relativeError, type CaseResult, type Check } from './ops.js';

/** A network with its weights, and what its Hessian is taken over. */
interface Subject {
  model: Model;
  data: DataSet;
  weights: Record<string, ArrayLike<number>>;
  /** Parameters in the order of the case's flat vectors. */
  order: readonly string[];
  powerStart: ArrayLike<number>;
}

type Tensors = Map<string, StoredTensor>;

/** Images as they are, without normalisation. */
function samples(
  images: Float32Array,
  shape: readonly [number, number, number, number],
  labels: number[],
  classes: number,
) {
  const channels = shape[1];
  const normalise = { mean: new Array<number>(channels).fill(0), std: new Array<number>(channels).fill(1) };
  return arrays({ images, shape, labels, classes, normalise });
}

function perceptron(c: MetricCase, tensors: Tensors): Subject {
  const { dims = [], act, params_order: order = [] } = c;
  const [features, classes] = [dims[0]!, dims.at(-1)!];
  if (act !== 'tanh' && act !== 'relu')
    throw new PtmzError('DATA_MALFORMED', `the activation '${String(act)}' is unknown`);
  const model: Model = {
    name: c.id,
    input: [features, 1, 1],
    classes,
    build(graph, x) {
      const layers = dims.slice(1).map((out, i) => ({
        weight: graph.param(`layer${i}.weight`, [out, dims[i]!]),
        bias: graph.param(`layer${i}.bias`, [out]),
      }));
      const flat = x.reshape([x.shape[0]!, features]);
      return layers.reduce<Value>((h, { weight, bias }, i) => linear(i > 0 ? h[act]() : h, weight, bias), flat);
    },
  };
  const labels = Array.from(numbers(tensors.get('in.y'), 'in.y'));
  const images = Float32Array.from(numbers(tensors.get('in.x'), 'in.x'));
  const weights = Object.fromEntries(order.map((name) => [name, numbers(tensors.get(`in.${name}`), `in.${name}`)]));
  const powerStart = numbers(tensors.get('in.power_v0'), 'in.power_v0');
  const data = samples(images, [labels.length, features, 1, 1], labels, classes);
  return { model, data, weights, order, powerStart };
}

/** Images of a spectrum case. The manifest does not say how many nor how large: these reproduce its numbers. */
const spectrumImages = { count: 6, size: 32 };

function residualNetwork(c: MetricCase): Subject {
  const match = /resnet(18|34|50)_w(\d+)_stem([37])/.exec(c.id);
  if (!match) throw new PtmzError('DATA_MALFORMED', 'the network is unknown: expected an id such as resnet18_w2_stem3');
  const { count, size } = spectrumImages;
  const classes = 10;
  const model = resnet({
    depth: Number(match[1]) as 18 | 34 | 50,
    width: Number(match[2]),
    input: [3, size, size],
    classes,
    stem: match[3] === '3' ? 'cifar' : 'imagenet',
  });
  const images = uniform(c.seed, `${c.id}/x`, count * 3 * size * size, 1.7);
  const data = samples(images, [count, 3, size, size], integers(c.seed, `${c.id}/y`, count, classes), classes);
  using graph = buildBatch(model, 1, { training: false }).graph;
  const hashes = c.weights_sha256 ?? {};
  const keys = Object.keys(hashes);
  const weights: Subject['weights'] = {};
  for (const { name, shape } of [...graph.params.entries, ...graph.buffers.entries]) {
    const values = firstValues(c.seed, c.id, name, shape, keys);
    weights[name] = values;
    if (createHash('sha256').update(Buffer.from(values.buffer)).digest('hex') !== hashes[name])
      throw new PtmzError('DATA_MALFORMED', `the weights of '${name}' are not those of weights_sha256`);
  }
  const order = keys.filter((key) => graph.params.entries.some(({ name }) => name === key));
  const powerStart = uniform(c.seed, `${c.id}/power.v0`, graph.params.count);
  return { model, data, weights, order, powerStart };
}

/** `members` members with the subject's weights, untrained. */
function population({ model, data, weights }: Subject, members: number): Run {
  const seeds = Array.from({ length: members }, (_, m) => m);
  const run = prepare({ model, data, batchSize: data.train.count, epochs: 1, seeds, dtype: 'float64' });
  const put = (entries: readonly FlatEntry[], vector: Vector | null) => {
    for (const { name, offset } of entries) for (const m of seeds) vector!.set(m, Array.from(weights[name]!), offset);
  };
  put(run.layout.params, run.vectors.params);
  put(run.layout.buffers, run.vectors.buffers);
  return run;
}

/** Where each element of the case's flat vectors lies in the run's. */
function positions(run: Run, order: readonly string[]): number[] {
  const entries = new Map(run.layout.params.map((entry) => [entry.name, entry]));
  return order.flatMap((name) => {
    const { offset, shape } = entries.get(name)!;
    return Array.from({ length: elementCount(shape) }, (_, i) => offset + i);
  });
}

/** Flat vectors of the case as rows laid out as the run's parameters. */
function rows(run: Run, at: readonly number[], vectors: readonly ArrayLike<number>[]): Vector {
  const result = new Vector('float64', vectors.length, run.vectorSize);
  vectors.forEach((vector, row) => {
    const flat = new Float64Array(run.vectorSize);
    at.forEach((position, i) => (flat[position] = vector[i]!));
    result.set(row, flat);
  });
  return result;
}

/** Compares results with the case's tensors. */
class Comparison {
  readonly checks: Check[] = [];
  constructor(private readonly tensors: Tensors) {}

  expected(tensor: string): ArrayLike<number> {
    return numbers(this.tensors.get(`out.${tensor}`), `out.${tensor}`);
  }
  add(tensor: string, result: ArrayLike<number>, tolerance: number): void {
    const reference = this.expected(tensor);
    this.checks.push({ tensor, program: 'float64', error: relativeError(result, reference, reference), tolerance });
  }
}

/** Loss, gradient, the whole Hessian and its eigenvalues. */
async function compareDense(c: MetricCase, subject: Subject, comparison: Comparison): Promise<void> {
  const { model, data, order } = subject;
  const tolerance = c.tol.hessian_max_over_max ?? 0;
  const n = comparison.expected('grad').length;
  using run = population(subject, 1);
  const at = positions(run, order);
  const { graph, loss } = buildBatch(model, data.train.count, { training: false });
  using _ = graph;
  using program = graph.compile({ loss, grad: graph.grad(loss) }, { dtype: 'float64' });
  const images = Array.from({ length: data.train.count }, (__, i) => [...data.train.image(i)]).flat();
  const first = await program.run({ x: images, y: [...data.train.labels], params: run.vectors.params });
  comparison.add('loss', [first['loss']!.item()], tolerance);
  const gradient = first['grad']!.toArray();
  comparison.add(
    'grad',
    at.map((i) => gradient[i]!),
    tolerance,
  );
  Object.values(first).forEach((vector) => vector.dispose());

  // One member per column.
  using columns = population(subject, n);
  using directions = rows(
    run,
    at,
    at.map((_position, i) => Array.from({ length: n }, (__, j) => (i === j ? 1 : 0))),
  );
  using products = await hvp(columns, data.train, directions);
  const hessian = at.map((_position, row) => {
    const product = products.toArray(row);
    return at.map((i) => product[i]!);
  });
  comparison.add('hessian', hessian.flat(), tolerance);
  const diagonal = hessian.map((column, i) => column[i]!);
  comparison.add('trace', [diagonal.reduce((a, b) => a + b)], tolerance);
  comparison.add('frobenius', [Math.sqrt(hessian.flat().reduce((sum, x) => sum + x * x, 0))], tolerance);
  const all = await hessianEigenvalues(run, data.train, { count: n, which: 'smallest', steps: n, tolerance: 0 });
  comparison.add('eigenvalues', all.eigenvalues[0]!, c.tol.eigenvalues_max_over_max ?? 0);
}

/** Power iterations, Hutchinson's samples, Lanczos and the density. */
async function compareEstimators(c: MetricCase, subject: Subject, comparison: Comparison): Promise<void> {
  const { data, order, powerStart } = subject;
  const tolerance = c.tol.estimators_rel;
  using run = population(subject, 1);
  const at = positions(run, order);
  using start = rows(run, at, [powerStart]);
  for (const [tensor, method] of [
    ['power_exact', 'power'],
    ['power_pyhessian', 'pyhessian'],
  ] as const) {
    const steps = comparison.expected(tensor).length;
    const { history } = await hessianEigenvalues(run, data.train, { method, steps, tolerance: 0, start });
    comparison.add(tensor, history[0]![0]!, tolerance);
  }
  const probes = comparison.expected('hutchinson_vHv').length;
  const signs = Array.from({ length: probes }, (_, k) => rademacher(c.seed, `${c.id}/hutch.${k}`, at.length));
  using vectors = rows(run, at, signs);
  const { samples: products, trace } = await hessianTrace(run, data.train, { probes, vectors });
  comparison.add('hutchinson_vHv', products[0]!, tolerance);
  comparison.add('hutchinson_mean', trace, tolerance);
  using first = rows(run, at, [rademacher(c.seed, `${c.id}/slq.start`, at.length)]);
  const steps = comparison.expected('lanczos_alpha').length;
  const bins = comparison.expected('density_grid').length;
  const [spectrum] = await hessianSpectrum(run, data.train, { steps, bins, start: first });
  comparison.add('lanczos_alpha', spectrum!.alpha[0]!, tolerance);
  comparison.add('lanczos_beta', spectrum!.beta[0]!, tolerance);
  comparison.add('slq_nodes', spectrum!.nodes[0]!, tolerance);
  comparison.add('slq_weights', spectrum!.weights[0]!, tolerance);
  comparison.add('density_grid', spectrum!.grid, tolerance);
  comparison.add('density', spectrum!.density, tolerance);
}

/** The kinds of metric cases that this version runs. */
export const metricKinds: readonly string[] = ['hessian', 'spectrum'];

/** Runs a metric case; what goes wrong in it becomes its failure. */
export async function runMetricCase(c: MetricCase, directory: string): Promise<CaseResult> {
  try {
    const tensors = readSafetensors(join(directory, c.file));
    const comparison = new Comparison(tensors);
    const subject = c.kind === 'hessian' ? perceptron(c, tensors) : residualNetwork(c);
    using _ = subject.data.train;
    if (c.kind === 'hessian') await compareDense(c, subject, comparison);
    await compareEstimators(c, subject, comparison);
    return { id: c.id, checks: comparison.checks };
  } catch (error) {
    const { code = 'error', message } = error as { code?: string; message: string };
    return { id: c.id, checks: [], failure: `${code}: ${message}` };
  }
}
