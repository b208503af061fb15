/** The set-up where something is missing: what it installs, what it says, the exact command; and options of the build. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

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

describe('options of the native build', () => {
  const { cmakeOptions } = createRequire(import.meta.url)('../scripts/build-native.cjs') as {
    cmakeOptions(overrides: Record<string, string>): Record<string, string>;
  };

  test('choices in any case; architectures as they are', () => {
    const given = { PTMZ_BLAS: 'builtin', PTMZ_CUDA: 'on', PTMZ_CUDA_ARCHITECTURES: '75;90-virtual' };
    expect(cmakeOptions(given)).toMatchObject({ ...given, PTMZ_BLAS: 'BUILTIN', PTMZ_CUDA: 'ON' });
  });

  test.each(['sm_80', '80 90', '80;', 'native'])('%s is no list of architectures', (value) => {
    expect(() => cmakeOptions({ PTMZ_CUDA_ARCHITECTURES: value })).toThrow(/80-real;90-virtual, got/);
  });
});
