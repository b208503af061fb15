// The loss of a small GPT-2 on real text, step by step, beside PyTorch's from the same weights and batches.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { crossEntropy, Graph, gpt2, prepare, text } from 'ptmz-native';
import { formatTable } from '../../dist/cli/table.js';
import { Handover, stateTensors } from '../inputs.mjs';
import { describeMachine, formatMachine } from '../machine.mjs';
import { comparison } from './command.mjs';

const help = `node bench/compare/gpt2-curve.mjs [options]

Trains a GPT-2 on the characters of this checkout's documents with AdamW (betas 0.9 and 0.95, decay 0.1 of everything)
and gradients of norm 1 at most, here and in PyTorch, and compares the losses of all steps. Ends with status 1 where one
differs by more than 0.001 of it.

  --steps N      default 20
  --dim N        default 192
  --heads N      default 3
  --depth N      layers; default 4
  --block N      characters of a window; default 128
  --batch N      windows of a step; default 16
  --threads N    of either side; default 1
  --json FILE    write all numbers`;

const documents = ['README.md', 'CONTRIBUTING.md', 'docs/numerics.md', 'docs/reliability.md', 'docs/performance.md'];
const optimizer = { lr: 6e-4, betas: [0.9, 0.95], weightDecay: 0.1, clip: 1 };
const tolerance = 1e-3;

/** So many characters as numbers, the documents again and again where they are too short. */
function readTokens(count) {
  const source = documents.map((name) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')).join('\n');
  const letters = [...new Set(source)].sort();
  const numbers = [...source].map((letter) => letters.indexOf(letter));
  return { vocab: letters.length, tokens: Int32Array.from({ length: count }, (_, i) => numbers[i % numbers.length]) };
}

/** The loss of a batch at a run's parameters, before the step that changes them. */
function lossOf(model, batch, block) {
  const graph = new Graph();
  const x = graph.input('x', [batch, block], 'index');
  const y = graph.input('y', [batch * block], 'index');
  const loss = crossEntropy(model.build(graph, x, { training: true }).reshape([-1, model.vocab]), y);
  return graph.compile({ loss });
}

async function ours({ run, program, steps, size, x, y, threads }) {
  const losses = [];
  for (let step = 0; step < steps; step++) {
    const part = (tokens) => tokens.slice(step * size, (step + 1) * size);
    const inputs = { x: part(x), y: part(y), params: run.vectors.params };
    const { loss } = await program.run(inputs, { threads });
    losses.push(loss.item());
    loss.dispose();
    await run.train({ until: step + 1, threads });
  }
  return losses;
}

await comparison(
  help,
  { steps: 20, dim: 192, heads: 3, depth: 4, block: 128, batch: 16, threads: 1, json: '' },
  async ({ steps, dim, heads, depth, block, batch, threads, json }, peer) => {
    const machine = describeMachine(await peer.call('info'));
    console.log(formatMachine(machine));
    const size = batch * block;
    const { vocab, tokens } = readTokens(steps * size + 1);
    const sizes = { vocab, block, dim, heads, depth };
    const model = gpt2(sizes);
    const { lr, clip, ...rest } = optimizer;
    const data = text({ tokens, block, vocab });
    const run = prepare({
      ...{ model, data, batchSize: batch, epochs: 1, seeds: [0], shuffle: false, schedule: 'constant' },
      ...{ decay: 'all', lr, clip, optimizer: { kind: 'adamw', ...rest } },
    });
    const handover = new Handover();
    const program = lossOf(model, batch, block);
    try {
      const [x, y] = [0, 1].map((first) => tokens.slice(first, first + steps * size));
      const windows = (data) => ({ dtype: 'I32', shape: [steps * batch, block], data });
      const file = handover.write([['x', windows(x)], ['y', windows(y)], ...stateTensors(run.stateDict(0), 'net.')]);
      const own = await ours({ run, program, steps, size, x, y, threads });
      const side = await peer.open('gpt2_curve', { file, sizes, optimizer, batch });
      const theirs = await side.ask('train');
      const rows = own.map((loss, i) => ({ step: i + 1, loss, peer: theirs[i], gap: Math.abs(loss / theirs[i] - 1) }));
      const largest = Math.max(...rows.map(({ gap }) => gap));
      const columns = [
        { heading: 'step', cell: ({ step }) => String(step) },
        { heading: 'loss here', cell: ({ loss }) => loss.toFixed(6) },
        { heading: 'PyTorch', cell: ({ peer }) => peer.toFixed(6) },
        { heading: 'differs', cell: ({ gap }) => gap.toExponential(1) },
      ];
      console.log(`\nGPT-2 of ${depth} layers of ${dim}, ${batch} x ${block} of ${vocab} characters`);
      console.log(formatTable(columns, rows));
      console.log(`\nlargest difference ${largest.toExponential(1)}`);
      if (json !== '') {
        mkdirSync(dirname(json), { recursive: true });
        const document = { date: new Date().toISOString(), machine, sizes, batch, optimizer, rows };
        writeFileSync(json, `${JSON.stringify(document, null, 2)}\n`);
      }
      if (!(largest < tolerance)) process.exitCode = 1;
    } finally {
      program.dispose();
      run.dispose();
      handover.dispose();
    }
  },
);
