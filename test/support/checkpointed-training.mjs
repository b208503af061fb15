/**
 * A training that saves itself and goes on where it was: `node checkpointed-training.mjs DIRECTORY [STEPS] [KEEP]`.
 * Prints `START`, `ACK <checkpoint> <step>` when a checkpoint is safe, and at the end `SHA <hash of all numbers of all members>`.
 * SIGINT and SIGTERM stop it as they stop the command line: saved, with 130 or 143.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listenForInterrupt } from '../../dist/cli/interrupt.js';
import { digits, loadRun, prepareResNet } from '../../dist/index.js';

/** @param {string} line */
const print = (line) => writeSync(1, `${line}\n`);

/** SHA-256 of the parameters, buffers and history of all members. @param {import('../../lib/index.ts').Run} run */
export function fingerprint(run) {
  const hash = createHash('sha256');
  run.seeds.forEach((_, m) => Object.values(run.stateDict(m)).forEach(({ data }) => hash.update(data)));
  return hash.update(JSON.stringify([run.history, run.step, run.divergedAt])).digest('hex');
}

export async function start() {
  const data = await digits({ train: 120, test: 30 });
  const common = { depth: /** @type {const} */ (18), width: 2, data, batchSize: 16, epochs: 4 };
  // The third member diverges and stays frozen; the others must not notice.
  return { data, run: () => prepareResNet({ ...common, seeds: [0, 1, 2], lr: [0.1, 0.05, 1e30] }) };
}

async function main(/** @type {string} */ directory, steps = '3', keep = '2') {
  const { data, run: fresh } = await start();
  const saved = existsSync(directory) && readdirSync(directory).some((name) => name.startsWith('epoch-'));
  const run = saved ? await loadRun(directory, { data }) : fresh();
  run.warnings.forEach((warning) => print(`WARNING ${warning}`));
  const interrupt = listenForInterrupt(() => print('STOPPING'));
  print('START');
  try {
    await run.train({
      saveTo: directory,
      saveEvery: { steps: Number(steps) },
      keep: Number(keep),
      threads: 1,
      signal: interrupt.signal,
      onSave: ({ path, step }) => print(`ACK ${basename(path)} ${step}`),
    });
    print(`SHA ${fingerprint(run)}`);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    process.exitCode = interrupt.exitCode;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [directory, ...settings] = process.argv.slice(2);
  if (directory === undefined) throw new Error('expected a directory');
  await main(directory, ...settings);
}
