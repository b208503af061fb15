/** What a user gets: the tarball's files and metadata, an addon that loads without a compiler, clear errors without one. */
import { spawnSync } from 'node:child_process';
import { renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const installed = join(inject('project'), 'node_modules', 'ptmz-native');

function inProject(...args: string[]) {
  const env = { ...process.env, PATH: inject('path') };
  return spawnSync(process.execPath, args, { cwd: inject('project'), encoding: 'utf8', env });
}

const ptmz = (...args: string[]) => inProject(join(inject('project'), 'node_modules', '.bin', 'ptmz'), ...args);
const tool = (name: string, ...args: string[]) =>
  spawnSync(join(root, 'node_modules', '.bin', name), args, { cwd: root, encoding: 'utf8' });

describe('tarball', () => {
  test('holds the code, its types, the sources to build from, and a prebuilt addon', () => {
    const needed = ['dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'CMakeLists.txt', 'binding.gyp', 'LICENSE'];
    needed.push('native/ir/op.def', 'bindings/addon.cpp', 'scripts/build-native.cjs', 'README.md', 'CHANGELOG.md');
    expect(needed.filter((file) => !inject('files').includes(file))).toEqual([]);
    expect(inject('files').filter((file) => /^prebuilds\/.+\.node$/.test(file))).not.toHaveLength(0);
  });

  test('holds no tests and no build trees, and stays below 20 MiB', () => {
    expect(inject('files').filter((file) => /^(test|bench|build|build-cmake|node_modules|docs)\//.test(file))).toEqual(
      [],
    );
    expect(statSync(inject('tarball')).size).toBeLessThan(20 * 2 ** 20);
  });

  test('is clean for publint', () => {
    const { status, stdout, stderr } = tool('publint', 'run', inject('tarball'), '--strict');
    expect(status, stdout + stderr).toBe(0);
  });

  test('is clean for are-the-types-wrong', () => {
    const { status, stdout, stderr } = tool('attw', '--profile', 'esm-only', '--no-emoji', inject('tarball'));
    expect(status, stdout + stderr).toBe(0);
  });
});

describe('installed without scripts and without a compiler', () => {
  test('import and require give the same package', () => {
    const code = `import { createRequire } from 'node:module';
      import * as imported from 'ptmz-native';
      const required = createRequire(process.cwd() + '/x.js')('ptmz-native');
      process.exit(imported.Graph === required.Graph && typeof imported.Graph === 'function' ? 0 : 1);`;
    const { status, stderr } = inProject('--input-type=module', '--eval', code);
    expect(status, stderr).toBe(0);
  });

  test('ptmz doctor reports the prebuilt addon as loaded', () => {
    const { status, stdout, stderr } = ptmz('doctor', '--json');
    expect(status, stderr).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.addon).toMatchObject({ loaded: true });
    expect(report.addon.file).toContain(join('ptmz-native', 'prebuilds'));
    expect(report.addon.version).toBe(report.package);
  });

  test('ptmz --help lists the commands and examples', () => {
    const { status, stdout } = ptmz('--help');
    expect(status).toBe(0);
    for (const word of ['quickstart', 'doctor', 'build', 'Examples:']) expect(stdout).toContain(word);
  });

  test('an unknown command fails with a suggestion', () => {
    const { status, stderr } = ptmz('docter');
    expect(status).toBe(1);
    expect(stderr).toContain('Did you mean doctor?');
  });

  test('ptmz build names the tool that is missing', () => {
    const { status, stderr } = ptmz('build');
    expect(status).toBe(1);
    expect(stderr).toContain('cmake was not found');
    expect(stderr).toContain('apt-get install');
  });
});

describe('where no binary fits', () => {
  const prebuilds = join(installed, 'prebuilds');
  beforeAll(() => renameSync(prebuilds, `${prebuilds}.away`));
  afterAll(() => renameSync(`${prebuilds}.away`, prebuilds));

  test('the first use throws NO_NATIVE with possible solutions', () => {
    const code = `import { Graph } from 'ptmz-native';
      try { new Graph(); } catch (error) { console.log(error.name, error.code, error.message); }`;
    const { status, stdout, stderr } = inProject('--input-type=module', '--eval', code);
    expect(status, stderr).toBe(0);
    expect(stdout).toContain('PtmzError NO_NATIVE');
    expect(stdout).toContain('Possible solutions');
    expect(stdout).toContain('npx ptmz build');
  });

  test('ptmz doctor says what is wrong and fails', () => {
    const text = ptmz('doctor');
    expect(text.status).toBe(1);
    expect(text.stdout).toContain('NOT LOADED');
    const json = ptmz('doctor', '--json');
    expect(json.status).toBe(1);
    expect(JSON.parse(json.stdout).addon).toMatchObject({
      loaded: false,
      error: expect.stringContaining('npx ptmz build'),
    });
  });
});
