// Runs the CUDA backend without a GPU: builds its library for the host, then the oracle's operators, whole models, and
// training and curvature (test/cuda) against the CPU. `node scripts/test-cuda.mjs [ORACLE]`: also the operators and models of that oracle.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { build } = createRequire(import.meta.url)('./build-native.cjs');
const total = { passed: 0, failed: 0 };

const tree = await build({ target: 'ptmz_cuda_emulated' });
process.env.PTMZ_CUDA_LIBRARY = join(tree, 'out', 'libptmz_cuda_on_host.so');

for (const oracle of [join(root, 'test/oracle/fixtures'), ...process.argv.slice(2)])
  for (const part of ['ops', 'models']) runOracle(oracle, part);
const { compareDevices, models } = await import('./gpu/models.mjs');
for (const name of Object.keys(models))
  for (const members of [1, 3])
    for (const [key, gap] of Object.entries(await compareDevices(name, members, 'float64')))
      count(`${name}, ${members} members: ${key}`, gap < 1e-9, 1, `differs by ${gap} of its largest value`);
const tests = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'cuda'], {
  ...{ cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 },
});
const line = /tests: (\d+) passed, (\d+) failed/.exec(tests.stdout);
count('test/cuda', tests.status === 0 && line !== null, Number(line?.[1] ?? 1), `${tests.stdout}${tests.stderr}`);
console.log(`cuda: ${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

function runOracle(directory, part) {
  const args = [join(root, 'dist/oracle/main.js'), directory, '--device', 'cuda', '--only', part];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const line = /(\d+) passed, (\d+) failed/.exec(stdout);
  count(`${part} of ${directory}`, status === 0 && line !== null, Number(line?.[1] ?? 1), `${stdout}${stderr}`);
}

function count(name, good, cases, detail) {
  if (good) total.passed += cases;
  else total.failed += 1;
  console.log(`${good ? 'ok    ' : 'FAILED'} ${name}${good ? '' : `\n${detail}`}`);
}
