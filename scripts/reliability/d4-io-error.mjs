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

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D4',
  fault: 'I/O error at the N-th call (open, write, short write, fsync, close, rename, mkdir, readdir, read, remove), every N',
  trials: { full: 4, quick: 2 },
  async run({ trials, report }) {
    const data = await digits({ train: 16, test: 8 });
    const fresh = () => prepareResNet({ depth: 18, width: 2, data, batchSize: 8, epochs: 2, seeds: [0] });
    const whole = fresh();
    await whole.train();
    const expected = fingerprint(whole);
    const counts = { calls: 0, silent: 0, lost: 0 };
    for (const [done, [code, typed]] of faults.slice(0, trials).entries()) {
      for (let n = 1, passed = false; !passed; n++) {
        await inFolder(async (folder) => {
          const directory = join(folder, 'run');
          const run = fresh();
          await run.train({ until: 1 });
          await run.save(directory);
          const fault = failNthCall(disk, n, code);
          const error = await run.train({ saveTo: directory, keep: 1, whenDiskFull: 'throw' }).then(
            () => undefined,
            (error) => error,
          );
          fault.restore();
          passed = fault.failed === undefined;
          if (!passed) counts.calls += 1;
          const names = error instanceof PtmzError && error.message.includes(directory) && error.message.includes(fault.failed ?? '');
          const right = passed || typed === undefined ? error === undefined : names && error.code === typed;
          if (!right) {
            counts.silent += 1;
            process.stderr.write(`  ${code} in call ${n}, ${fault.failed}: ${String(error)}\n`);
          }
          const loaded = await loadRun(directory, { data });
          const { step } = loaded;
          await loaded.train({ saveTo: directory });
          if (step < 1 || loaded.warnings.length > 0 || fingerprint(loaded) !== expected) counts.lost += 1;
        });
        report((done + n / (n + 40)) / trials, `${code}, call ${n}`);
      }
    }
    const kinds = faults.slice(0, trials).map(([code]) => code).join(', ');
    return {
      passed: counts.silent === 0 && counts.lost === 0,
      figures: `${counts.calls} calls failed in turn (${kinds}): ${counts.silent} silent or of the wrong code, ${counts.lost} lost anything`,
    };
  },
};
