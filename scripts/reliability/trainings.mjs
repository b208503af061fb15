/** Short trainings whose every bit is compared: `node trainings.mjs [NAME...]` prints a line `NAME SHA` for each. */
import { fileURLToPath } from 'node:url';
import { digits, prepareResNet } from '../../dist/index.js';
import { fingerprint } from '../../test/support/checkpointed-training.mjs';

const models = /** @type {const} */ ([
  { depth: 18, width: 2 },
  { depth: 18, width: 8 },
  { depth: 50, width: 2 },
]);

/** Five steps each, the last of fewer samples. */
export const trainings = models.flatMap((model) =>
  /** @type {const} */ (['sgd', 'adamw']).map((optimizer) => ({
    name: `resnet${model.depth}-w${model.width}-${optimizer}`,
    options: { ...model, optimizer, lr: optimizer === 'sgd' ? 0.05 : 0.002, batchSize: 16, epochs: 1 },
  })),
);

/**
 * A trained population and the SHA-256 of all its numbers.
 * @param {(typeof trainings)[number]} training
 * @param {number[]} seeds
 * @param {number} threads
 */
export async function trained({ options }, seeds, threads) {
  const data = await digits({ train: 72, test: 20 });
  const run = prepareResNet({ ...options, data, seeds });
  await run.train({ threads });
  return { run, sha: fingerprint(run) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  for (const training of trainings.filter(({ name }) => names.length === 0 || names.includes(name)))
    console.log(`${training.name} ${(await trained(training, [0, 1], 0)).sha}`);
}
