/** ResNets: parameter counts, torchvision's names and shapes, first values, checks. */
import { Graph, models, prepare, resnet, type Model, type ResNetOptions } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { buildBatch } from '../lib/models/trainable.js';
import { points } from './support/models.js';

function build(model: Model, training = false, batch = 2): Graph {
  const graph = new Graph();
  const logits = model.build(graph, graph.input('x', [batch, ...model.input]), { training });
  expect(logits.shape).toEqual([batch, model.classes]);
  return graph;
}

function parameterCount(options: ResNetOptions): number {
  using graph = build(resnet(options));
  return graph.params.count;
}

describe('parameter counts', () => {
  const widths = [2, 4, 8, 16, 32, 64, 128, 256];
  // As the published model zoos report them, by depth and number of classes.
  const counts: [18 | 50, number, number[]][] = [
    [18, 10, [11420, 44622, 176402, 701466, 2797610, 11173962, 44662922, 178585866]],
    [18, 100, [12950, 47592, 182252, 713076, 2820740, 11220132, 44755172, 178770276]],
    [18, 200, [14650, 50892, 188752, 725976, 2846440, 11271432, 44857672, 178975176]],
    [50, 10, [25260, 96302, 375762, 1484186, 5899050, 23520842, 93932682, 375429386]],
    [50, 100, [31110, 107912, 398892, 1530356, 5991300, 23705252, 94301412, 376166756]],
    [50, 200, [37610, 120812, 424592, 1581656, 6093800, 23910152, 94711112, 376986056]],
  ];
  test.each(counts)('ResNet-%i, %i classes, 8 widths', (depth, classes, expected) => {
    const input = [3, 32, 32] as const;
    expect(widths.map((width) => parameterCount({ depth, width, classes, input }))).toEqual(expected);
  });

  test.each([
    [18, 11689512],
    [34, 21797672],
    [50, 25557032],
  ] as const)('ResNet-%i of torchvision', (depth, expected) => {
    const options = { depth, width: 64, classes: 1000, input: [3, 224, 224], stem: 'imagenet' } as const;
    expect(parameterCount(options)).toBe(expected);
  });
});

test("names, shapes and order are torchvision's", () => {
  using graph = build(resnet({ depth: 50, width: 4, classes: 7, input: [3, 32, 32] }), true);
  const params = graph.params.entries.map(({ name, shape }) => `${name} ${shape.join('x')}`);
  expect(params).toHaveLength(161);
  expect(params.slice(0, 15)).toEqual([
    'conv1.weight 4x3x3x3',
    'bn1.weight 4',
    'bn1.bias 4',
    'layer1.0.conv1.weight 4x4x1x1',
    'layer1.0.bn1.weight 4',
    'layer1.0.bn1.bias 4',
    'layer1.0.conv2.weight 4x4x3x3',
    'layer1.0.bn2.weight 4',
    'layer1.0.bn2.bias 4',
    'layer1.0.conv3.weight 16x4x1x1',
    'layer1.0.bn3.weight 16',
    'layer1.0.bn3.bias 16',
    'layer1.0.downsample.0.weight 16x4x1x1',
    'layer1.0.downsample.1.weight 16',
    'layer1.0.downsample.1.bias 16',
  ]);
  expect(params.slice(-2)).toEqual(['fc.weight 7x128', 'fc.bias 7']);
  const buffers = graph.buffers.entries.map(({ name, shape }) => `${name} ${shape.join('x')}`);
  expect(buffers.slice(0, 3)).toEqual(['bn1.running_mean 4', 'bn1.running_var 4', 'layer1.0.bn1.running_mean 4']);
});

test('the state dict of a fresh member', () => {
  const model = resnet({ depth: 18, width: 3, classes: 4, input: [2, 8, 8] });
  const data = { ...points(8, 128, 4) };
  using run = prepare({ model: { ...model, input: [128, 1, 1], build: reshaped(model) }, data, ...steps });
  const dict = run.stateDict(1);
  expect(Object.keys(dict)).toHaveLength(62 + 60);
  expect(dict['bn1.num_batches_tracked']).toEqual({ shape: [], dtype: 'int64', data: BigInt64Array.of(0n) });
  expect([...dict['fc.bias']!.data].every((x) => x === Math.fround(0.01))).toBe(true);
  for (const name of ['layer2.0.downsample.1.weight', 'layer4.1.bn2.running_var'])
    expect([...dict[name]!.data].every((x) => x === 1)).toBe(true);
  for (const name of ['layer2.0.downsample.1.bias', 'layer4.1.bn2.running_mean'])
    expect([...dict[name]!.data].every((x) => x === 0)).toBe(true);
  // Uniform on +-sqrt(6 / fan_in): inside the bound, close to it somewhere, with its variance.
  const { shape, data: values } = dict['layer4.1.conv2.weight']!;
  expect(shape).toEqual([24, 24, 3, 3]);
  const bound = Math.sqrt(6 / (24 * 9));
  const sizes = Array.from(values as Float32Array, Math.abs);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(bound * (1 + 1e-6));
  expect(Math.max(...sizes)).toBeGreaterThan(0.99 * bound);
  expect(sizes.reduce((sum, x) => sum + x * x, 0) / sizes.length / (bound ** 2 / 3)).toBeCloseTo(1, 1);
  expect(dict['conv1.weight']!.data).not.toEqual(run.stateDict(0)['conv1.weight']!.data);
});

const steps = { batchSize: 8, epochs: 1, seeds: [0, 1] };
/** The same network on points, which are images of another shape. */
function reshaped(model: Model): Model['build'] {
  return (graph, x, mode) => model.build(graph, x.reshape([x.shape[0]!, ...model.input]), mode);
}

test('loss, gradient and Hessian-vector product are one program, though two biases share a gradient', () => {
  const model = resnet({ depth: 18, width: 2, classes: 10, input: [3, 8, 8] });
  const { graph, loss } = buildBatch(model, 2, { training: false });
  using program = graph.compile({ loss, grad: graph.grad(loss), hvp: graph.hvp(loss, graph.direction('v')) });
  expect(program.outputs.map(({ size }) => size)).toEqual([1, graph.params.size, graph.params.size]);
  graph.dispose();
});

test('the registry has all networks', () => {
  const image = { classes: 10, input: [1, 28, 28] as const };
  const { resnet18, resnet34, resnet50, vit, mlp, cnn, gpt2, ...others } = models;
  expect([resnet18, resnet34, resnet50].map((make) => make({ width: 2, ...image }).name)).toEqual([
    'resnet18-w2',
    'resnet34-w2',
    'resnet50-w2',
  ]);
  expect([vit({ dim: 6, ...image }).name, mlp({ hidden: [3], ...image }).name, cnn(image).name]).toEqual([
    'vit-d6-p4-l12-h3',
    'mlp-h3',
    'cnn-small',
  ]);
  expect(gpt2({ vocab: 5, block: 4, dim: 6, heads: 2, depth: 1 }).name).toBe('gpt2-d6-l1-h2');
  expect(others).toEqual({});
});

test('options are checked', () => {
  const make = (change: object) => () =>
    resnet({ depth: 18, width: 8, classes: 10, input: [3, 32, 32], ...change } as ResNetOptions);
  expect(make({ depth: 20 })).toThrow(/18, 34, 50.*depth.*20/);
  expect(make({ width: 0 })).toThrow(/width.*0/);
  expect(make({ input: [32, 32] })).toThrow(/input/);
  expect(make({ stem: '7x7' })).toThrow(/'cifar', 'imagenet'.*stem.*'7x7'/);
  expect(make({ widht: 8 })).toThrow(/widht/);
});
