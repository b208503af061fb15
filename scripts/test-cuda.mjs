// Runs the CUDA backend without a GPU: builds its library for the host, then the tests of test/cuda - training, curvature,
// the command line, and all that gpu-check.sh checks. `node scripts/test-cuda.mjs ORACLE...`: also the operators and
// models of these oracles.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { build } = createRequire(import.meta.url)('./build-native.cjs');
const total = { passed: 0, failed: 0 };

const tree = await build({ target: 'ptmz_cuda_emulated' });
process.env.PTMZ_CUDA_LIBRARY = join(tree, 'out', 'libptmz_cuda_on_host.so');

run('test/cuda', ['node_modules/vitest/vitest.mjs', 'run', '--project', 'cuda']);
for (const oracle of process.argv.slice(2))
  for (const part of ['ops', 'models'])
    run(`${part} of ${oracle}`, ['dist/oracle/main.js', oracle, '--device', 'cuda', '--only', part]);
console.log(`cuda: ${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

/** Runs a script of the checkout and adds up the counts that it ends with. */
function run(name, args) {
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  const line = [...stdout.matchAll(/(\d+) passed, (\d+) failed/g)].at(-1);
  const good = status === 0 && line !== undefined;
  total.passed += Number(line?.[1] ?? 0);
  total.failed += good ? 0 : Math.max(1, Number(line?.[2] ?? 1));
  console.log(`${good ? 'ok    ' : 'FAILED'} ${name}${good ? `: ${line[1]} cases` : `\n${stdout}${stderr}`}`);
}
