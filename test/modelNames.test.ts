/** Names of networks: they say every option, and a saved run is opened by them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  burgersEquation,
  cnn,
  convectionEquation,
  gpt2,
  loadRun,
  mlp,
  prepareGPT2,
  reactionEquation,
  resnet,
  text,
  vit,
  type GPT2Network,
  type Trainable,
} from 'ptmz-native';
import { expect, test } from 'vitest';
import { modelNamed } from '../lib/models/named.js';
import { buildBatch } from '../lib/models/trainable.js';

const sizes = { input: [3, 32, 32], classes: 10 } as const;
const language = { vocab: 10, block: 32, dim: 12, depth: 2, heads: 3 };
const equation = { layers: [2, 7, 1], collocation: 9, pointSeed: 4, weight: 0.5, places: 8, times: 6 };

test.each<[string, Trainable]>([
  ['resnet18-w8', resnet({ ...sizes, depth: 18, width: 8 })],
  ['resnet50-w4-imagenet', resnet({ ...sizes, depth: 50, width: 4, stem: 'imagenet' })],
  ['vit-d12-p8-l2-h3', vit({ ...sizes, dim: 12, patch: 8, depth: 2 })],
  [
    'vit-d12-p8-l1-h2-m1.5-gelu-mean-drop0.1',
    vit({
      ...{ ...sizes, dim: 12, patch: 8, depth: 1, heads: 2, mlpRatio: 1.5, activation: 'gelu' },
      ...{ classToken: false, dropout: 0.1 },
    }),
  ],
  ['mlp-h30x15', mlp({ ...sizes, hidden: [30, 15] })],
  ['mlp-h7-silu-drop0.25-nobias', mlp({ ...sizes, hidden: [7], activation: 'silu', dropout: 0.25, bias: false })],
  ['mlp-h7-drop1e-7', mlp({ ...sizes, hidden: [7], dropout: 1e-7 })],
  ['cnn-small', cnn(sizes)],
  ['cnn-medium-gelu-drop0.5', cnn({ ...sizes, size: 'medium', activation: 'gelu', dropout: 0.5 })],
  ['gpt2-d12-l2-h3', gpt2(language)],
  [
    'gpt2-d12-l2-h3-nobias-untied-tanh-drop0.2',
    gpt2({ ...language, bias: false, tied: false, approximate: 'tanh', dropout: 0.2 }),
  ],
  ['convection', convectionEquation()],
  ['convection-n2x7x1-sin-c9-s4-w0.5-x8-t6', convectionEquation({ ...equation, activation: 'sin' })],
  ['reaction-n2x7x1-c9-s4-w0.5-x8-t6', reactionEquation(equation)],
  ['burgers-n2x7x1-c9-s4-w0.5-x8-t6', burgersEquation(equation)],
])('%s', (name, model) => {
  expect(model.name).toBe(name);
  const same = modelNamed(name, 'vocab' in model ? { input: [model.block], classes: model.vocab } : sizes)!;
  expect(same.name).toBe(name);
  const layouts = [model, same].map((each) => {
    using graph = buildBatch(each, 2, { training: true }).graph;
    return [graph.params, graph.buffers].map(({ entries }) =>
      entries.map(({ name: tensor, shape, init }) => ({ tensor, shape, init })),
    );
  });
  expect(layouts[1]).toEqual(layouts[0]);
});

test.each([
  ...['mlp', 'mlp-h', 'mlp-h3x', 'mlp-h3-swish', 'mlp-h3-leakyRelu-x', 'cnn', 'cnn-huge', 'cnn-small-large'],
  ...['gpt2-d4', 'resnet18-w', 'resnet20-w4', 'vit-d1-p1', 'vit-d1-p1-l1-h1-mean-gelu', 'convection-', 'user'],
])('%s is no name of ours', (name) => expect(modelNamed(name, sizes)).toBeUndefined());

test('networks of the same shapes that compute something else are other runs', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ptmz-names-'));
  const data = text({ tokens: Array.from({ length: 200 }, (_, i) => (i * i) % 7), block: 8 });
  const make = (network: Partial<GPT2Network>) =>
    prepareGPT2({ dim: 12, heads: 2, depth: 1, ...network, data, batchSize: 8, epochs: 1, seeds: [0] });
  using run = make({});
  await run.train({ until: 1, saveTo: directory });
  for (const other of [{ heads: 3 }, { dropout: 0.1 }, { approximate: 'tanh' }] as const) {
    using changed = make(other);
    await expect(changed.train({ saveTo: directory })).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
  }
  using loaded = await loadRun(directory, { data });
  expect(loaded.model.name).toBe('gpt2-d12-l1-h2');
  rmSync(directory, { recursive: true });
});
