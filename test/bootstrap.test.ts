/** The set-up where something is missing: what it installs, what it says, and that it ends with the exact command. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'ptmz-bootstrap-'));
const checkout = join(scratch, 'checkout');
const path = join(scratch, 'bin');
const calls = join(scratch, 'apt-calls');

// An apt-get that writes down how it was called and installs nothing.
const aptGet = `#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "$@" >> ${calls}\n[ "$1" = update ]\n`;

beforeAll(() => {
  for (const folder of ['native', 'bindings', 'lib']) mkdirSync(join(checkout, folder), { recursive: true });
  for (const name of ['scripts', 'package.json', 'package-lock.json', 'CMakeLists.txt', 'tsconfig.json'])
    cpSync(join(root, name), join(checkout, name), { recursive: true });
  mkdirSync(path);
  symlinkSync(process.execPath, join(path, 'node'));
  symlinkSync('/bin/sh', join(path, 'sh'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function bootstrap(env: NodeJS.ProcessEnv) {
  const options = { cwd: checkout, encoding: 'utf8', env: { PATH: path, ...env } } as const;
  return spawnSync(process.execPath, ['scripts/bootstrap.mjs'], options);
}

test('without a compiler it ends with the command that installs one', () => {
  const { status, stderr } = bootstrap({ PTMZ_APT: 'no' });
  expect(status).toBe(1);
  expect(stderr).toMatch(/missing: cmake, g\+\+, make\. Please run this/);
  expect(stderr).toMatch(/apt-get install -y --no-install-recommends cmake g\+\+ make$/m);
});

test('a compiler named in CXX is taken', () => {
  const { stderr } = bootstrap({ PTMZ_APT: 'no', CXX: '/opt/compiler/bin/c++' });
  expect(stderr).toMatch(/missing: cmake, make\./);
});

test.runIf(process.getuid?.() === 0)(
  'as root it asks apt-get for what is missing, first together, then one by one',
  () => {
    writeFileSync(join(path, 'apt-get'), aptGet, { mode: 0o755 });
    const { status, stderr } = bootstrap({});
    expect(status).toBe(1);
    expect(stderr).toMatch(/installing cmake g\+\+ make.* with apt-get/);
    const lines = readFileSync(calls, 'utf8').trim().split('\n');
    expect(lines[0]).toBe('update -qq');
    expect(lines[1]).toMatch(/^install -y -qq --no-install-recommends cmake g\+\+ make/);
    expect(lines).toContain('install -y -qq --no-install-recommends cmake');
  },
);
