/**
 * A small GPT-2 on characters: two learning rates as one population, trained on Alice in Wonderland and As You Like It
 * (books/README.md), or on a text of yours, and a few characters that the better one writes.
 *
 * Run it in a checkout after `npm run bootstrap`: node examples/gpt2/main.mjs [FILE] [EPOCHS]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { characters, Graph, gpt2, trainGPT2 } from 'ptmz-native';

const [file, epochs = '1'] = process.argv.slice(2);
const books = new URL('./books/', import.meta.url);
const own = readdirSync(books)
  .filter((name) => name.endsWith('.txt'))
  .sort();
const files = file ? [file] : own.map((name) => new URL(name, books));
const source = files.map((name) => readFileSync(name, 'utf8')).join('\n');
const block = 32;
const data = characters(source, { block, test: 0.1 });
const { alphabet } = data;

const network = { dim: 48, heads: 3, depth: 2 };
const rates = [0.001, 0.005];
const run = await trainGPT2({
  ...{ ...network, data, batchSize: 64, epochs: Number(epochs), lr: rates, seeds: [0, 0] },
});
console.log(
  `${source.length} characters, ${alphabet.length} different; guessing costs ${Math.log(alphabet.length).toFixed(2)}`,
);
for (const { epoch, trainLoss, testLoss } of run.history)
  console.log(
    `epoch ${epoch}: ` +
      rates.map((lr, m) => `lr ${lr}: loss ${trainLoss[m].toFixed(3)}, test ${testLoss[m].toFixed(3)}`).join('; '),
  );

// Writing: one forward pass per character, drawn with the probabilities of a slightly lower temperature.
const last = run.history.at(-1).testLoss;
const best = last.indexOf(Math.min(...last));
const graph = new Graph();
const model = gpt2({ ...network, vocab: alphabet.length, block });
const logits = model.build(graph, graph.input('x', [1, block], 'index'), { training: false });
const program = graph.compile({
  probabilities: logits
    .slice(1, block - 1, block)
    .mul(1.25)
    .exp(),
});
const params = graph.params.entries.reduce((vector, { name, offset }) => {
  return vector.set(0, run.stateDict(best)[name].data, offset);
}, program.vector('params'));
const written = Array.from(data.train.tokens.slice(0, block));
let state = 1;
for (let i = 0; i < 80; i++) {
  const { probabilities } = await program.run({ x: written.slice(-block), params });
  const weights = Array.from(probabilities.toArray());
  probabilities.dispose();
  state = (state * 48271) % 2147483647;
  let left = (state / 2147483647) * weights.reduce((a, b) => a + b, 0);
  written.push(
    Math.max(
      0,
      weights.findIndex((weight) => (left -= weight) <= 0),
    ),
  );
}
console.log(
  `it writes: ${JSON.stringify(
    written
      .slice(block)
      .map((token) => alphabet[token])
      .join(''),
  )}`,
);
for (const thing of [program, graph, params, run]) thing.dispose();
