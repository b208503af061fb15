// Packs the package with a fresh prebuild and tests what a user gets (test/package): `npm run test:package`.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
for (const args of [
  ['scripts/bootstrap.mjs'],
  ['scripts/prebuild.mjs'],
  ['node_modules/vitest/vitest.mjs', 'run', '--project', 'package', ...process.argv.slice(2)],
]) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
