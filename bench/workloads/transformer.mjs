// One training step of a ViT and of GPT-2s, against PyTorch.
import { arrays, gpt2, prepare, text, vit } from 'ptmz-native';
import { batchTensors, randomImages, stateTensors, unchanged } from '../inputs.mjs';
import { gpt2Flops, vitFlops } from '../transformer-work.mjs';
import { compareLosses, firstLosses, trainingSide } from '../training.mjs';

export const title = 'training step of a transformer: forward, backward, AdamW';
export const groups = ['cpu'];

/** Both sides' optimizer; decay of all parameters, as is torch's default. */
const optimizer = { lr: 1e-4, betas: [0.9, 0.95], weightDecay: 0.1 };
const checked = 5;

const image = { patch: 4, side: 32 };
const cells = [
  ['vit', 'ViT 96 x 6 layers', 128, { dim: 96, depth: 6, heads: 3, ...image }],
  ['vit', 'ViT 96 x 6 layers', 8, { dim: 96, depth: 6, heads: 3, ...image }],
  ['gpt2', 'GPT-2 192 x 12 layers, 256 tokens', 4, { dim: 192, depth: 12, heads: 3, vocab: 50304, block: 256 }],
  ['gpt2', 'GPT-2 192 x 4 layers, 128 characters', 16, { dim: 192, depth: 4, heads: 3, vocab: 96, block: 128 }],
];

const kinds = {
  vit: {
    flops: vitFlops,
    model: ({ patch, side, dim, depth, heads }) =>
      vit({ dim, depth, heads, patch, input: [3, side, side], classes: 10 }),
    data: (_, samples) => arrays({ ...randomImages(samples), normalise: unchanged }),
    tensors: (_, batch) => batchTensors(randomImages(batch)),
    note: () => undefined,
  },
  gpt2: {
    flops: gpt2Flops,
    model: (sizes) => gpt2(sizes),
    data: ({ vocab, block }, samples) => text({ tokens: randomTokens(samples * block + 1, vocab), block, vocab }),
    tensors: ({ vocab, block }, batch) => {
      const tokens = randomTokens(batch * block + 1, vocab);
      const tensor = (first) => ({
        dtype: 'I32',
        shape: [batch, block],
        data: tokens.slice(first, first + batch * block),
      });
      return [
        ['x', tensor(0)],
        ['y', tensor(1)],
      ];
    },
    note: (label, tokens, { ours, peer }) => {
      const rate = (milliseconds) => `${Math.round((1000 * tokens) / milliseconds)} tokens/s`;
      return `${label}: ${rate(ours)}${peer ? `, PyTorch ${rate(peer)}` : ''}`;
    },
  },
};

/** Tokens without a pattern, the same in every run. */
const randomTokens = (n, vocab) => Int32Array.from({ length: n }, (_, i) => ((i * 7919) ^ (i * i)) % vocab);

/** Rows of the race. */
export const rows = cells.map(([kind, label, batch, sizes]) => ({
  id: `${kind}-${sizes.dim}x${sizes.depth}x${batch}`,
  label: `${label}, batch ${batch}`,
  unit: 'ms/step',
  open: (context) => open(kind, label, batch, sizes, context),
}));

async function open(kind, label, batch, sizes, { threads, peer, handover, compile }) {
  const { model, data, tensors, flops, note } = kinds[kind];
  const { lr, ...rest } = optimizer;
  const side = ({ batches, epochs }) => {
    const set = data(sizes, batch * batches);
    const settings = { batchSize: batch, epochs, seeds: [0], schedule: 'constant', decay: 'all', lr };
    const run = prepare({ model: model(sizes), data: set, optimizer: { kind: 'adamw', ...rest }, ...settings });
    return {
      run,
      dispose() {
        run.dispose();
        set.train.dispose();
      },
    };
  };
  const { losses, states } = await firstLosses(side, checked, threads);
  const ours = trainingSide(side, threads);
  const contest = {
    ours,
    flops: flops(sizes, batch),
    note: (raced) => note(label, batch * sizes.block, raced),
  };
  if (!peer) return { ...contest, variants: [], close: () => ours.dispose() };

  const file = handover.write([...tensors(sizes, batch), ...stateTensors(states[0], 'net.')]);
  const variants = [];
  for (const compiled of compile ? [false, true] : [false]) {
    const settings = { file, kind, sizes, optimizer, compiled };
    variants.push({ name: compiled ? 'compiled' : 'eager', ...(await peer.open('transformer_step', settings)) });
  }
  return {
    ...contest,
    variants,
    check: async () => compareLosses(losses, [await variants[0].check({ steps: checked })]),
    close: async () => {
      ours.dispose();
      for (const { close } of variants) await close();
    },
  };
}
