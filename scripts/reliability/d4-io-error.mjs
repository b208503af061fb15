/** D4: the N-th call to the disk fails, N = 1 and up until a whole training passes. */
import { join } from 'node:path';
import { digits, loadRun, prepareResNet, PtmzError } from '../../dist/index.js';
import { disk } from '../../dist/formats/atomicFile.js';
import { fingerprint } from '../../test/support/checkpointed-training.mjs';
import { failNthCall } from '../../test/support/faults.mjs';
import { inFolder } from '../../test/support/mounts.mjs';

/** What a call fails with, and the code that must come of it. A short write is no error: the rest is written after it. */
const faults = /** @type {const} */ ([
  ['EIO', 'IO_ERROR'],
  ['ENOSPC', 'DISK_FULL'],
  ['EROFS', 'NOT_WRITABLE'],
  ['SHORT', undefined],
]);

const fresh = (/** @type {import('../../lib/index.ts').DataSet} */ data) =>
  prepareResNet({ depth: 18, width: 2, data, batchSize: 8, epochs: 2, seeds: [0] });

/**
 * Trains on from a saved step with a failing call, then loads what is there and trains to the end.
 * @param {import('../../lib/index.ts').DataSet} data
 * @param {number} n
 * @param {(typeof faults)[number]} fault
 */
async function trial(data, n, [code, typed]) {
  return inFolder(async (folder) => {
    const directory = join(folder, 'run');
    const run = fresh(data);
    await run.train({ until: 1 });
    await run.save(directory);
    const { failed, error } = await withFault(n, code, () =>
      run.train({ saveTo: directory, keep: 1, whenDiskFull: 'throw' }),
    );
    const silent =
      failed === undefined || typed === undefined ? error !== undefined : !tells(error, typed, directory, failed);
    if (silent) process.stderr.write(`  ${code} in call ${n}, ${failed}: ${String(error)}\n`);
    const loaded = await loadRun(directory, { data });
    const whole = loaded.step >= 1 && loaded.warnings.length === 0;
    await loaded.train({ saveTo: directory });
    return { failed, silent, lost: !whole, sha: fingerprint(loaded) };
  });
}

/** @param {number} n @param {string} code @param {() => Promise<unknown>} work */
async function withFault(n, code, work) {
  const fault = failNthCall(disk, n, code);
  try {
    const error = await work().then(
      () => undefined,
      (error) => error,
    );
    return { failed: fault.failed, error };
  } finally {
    fault.restore();
  }
}

/** @param {unknown} error @param {string} code @param {string} path @param {string} call */
const tells = (error, code, path, call) =>
  error instanceof PtmzError && error.code === code && error.message.includes(path) && error.message.includes(call);

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D4',
  fault:
    'I/O error at the N-th call (open, write, short write, fsync, close, rename, mkdir, readdir, read, remove), every N',
  trials: { full: faults.length, quick: 2 },
  async run({ trials, report }) {
    const data = await digits({ train: 16, test: 8 });
    const reference = fresh(data);
    await reference.train();
    const expected = fingerprint(reference);
    const counts = { calls: 0, silent: 0, lost: 0 };
    const kinds = faults.slice(0, trials);
    for (const [done, fault] of kinds.entries()) {
      for (let n = 1; ; n++) {
        const { failed, silent, lost, sha } = await trial(data, n, fault);
        if (silent) counts.silent += 1;
        if (lost || sha !== expected) counts.lost += 1;
        // A whole training without a failing call: there were fewer than n.
        if (failed === undefined) break;
        counts.calls += 1;
        report((done + n / (n + 40)) / trials, `${fault[0]}, call ${n}`);
      }
    }
    const names = kinds.map(([code]) => code).join(', ');
    return {
      passed: counts.calls > 0 && counts.silent === 0 && counts.lost === 0,
      figures: `${counts.calls} calls failed in turn (${names}): ${counts.silent} silent or of the wrong code, ${counts.lost} lost anything`,
    };
  },
};
