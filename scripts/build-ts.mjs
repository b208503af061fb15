// Compiles lib/ to dist/, removes what is left there of deleted sources, and makes the command executable.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');

const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json')], { stdio: 'inherit' });

if (existsSync(dist)) {
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const source = relative(dist, file).replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
    if (entry.isFile() && !existsSync(join(root, 'lib', source))) rmSync(file);
  }
}
const main = join(dist, 'cli', 'main.js');
if (existsSync(main)) chmodSync(main, 0o755);
process.exitCode = status ?? 1;
