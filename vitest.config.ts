/** Test settings: addon tests run in forked processes, and the run ends with one plain line that CI adds up. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import type { Reporter } from 'vitest/reporters';

const closingLine: Reporter = {
  onTestRunEnd(modules, errors) {
    const count = { passed: 0, failed: errors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      // A file that does not load has no tests to fail; it counts as one failure itself.
      if (module.errors().length > 0) count.failed += 1;
      for (const test of module.children.allTests()) count[test.result().state] += 1;
    }
    const skipped = count.skipped + count.pending;
    const line = `tests: ${count.passed} passed, ${count.failed} failed, ${skipped} skipped`;
    process.on('exit', () => console.log(line));
  },
};

// Tests import the sources, so they need no compiled `dist` of the TypeScript layer (worker threads do).
const resolve = { alias: { 'ptmz-native': fileURLToPath(new URL('./lib/index.ts', import.meta.url)) } };

export default defineConfig({
  test: {
    pool: 'forks',
    // Two cores are the smallest machine that the suite is timed on, and the addon has threads of its own.
    maxWorkers: 2,
    reporters: ['default', closingLine],
    projects: [
      {
        resolve,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/cuda/**', 'test/package/**'],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        resolve,
        test: {
          name: 'cuda',
          include: ['test/cuda/*.test.ts'],
          globalSetup: 'test/cuda/setup.ts',
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'package',
          include: ['test/package/*.test.ts'],
          globalSetup: 'test/package/setup.ts',
          fileParallelism: false,
          testTimeout: 150_000,
        },
      },
    ],
  },
});
