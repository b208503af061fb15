// Builds the addon into prebuilds/<platform>-<arch>/ with prebuildify, which is what the npm package ships.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
rmSync(join(root, 'prebuilds'), { recursive: true, force: true });

// node-gyp wants a folder with include/node/ and would download one; the addon itself uses node-api-headers.
const installed = resolve(dirname(process.execPath), '..');
const nodedir =
  process.env.npm_config_nodedir ?? (existsSync(join(installed, 'include', 'node')) ? installed : undefined);

const { status, stdout, stderr } = spawnSync(
  process.execPath,
  [join(dirname(require.resolve('prebuildify/package.json')), 'bin.js'), '--napi', '--strip', '--tag-libc'],
  { cwd: root, encoding: 'utf8', env: { ...process.env, npm_config_nodedir: nodedir } },
);
if (status !== 0) {
  console.error(`${stdout}${stderr}`);
  process.exit(status ?? 1);
}

for (const folder of readdirSync(join(root, 'prebuilds'))) {
  for (const file of readdirSync(join(root, 'prebuilds', folder))) {
    const megabytes = statSync(join(root, 'prebuilds', folder, file)).size / 2 ** 20;
    console.log(`prebuilds/${folder}/${file}: ${megabytes.toFixed(1)} MiB`);
  }
}
