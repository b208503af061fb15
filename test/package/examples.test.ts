/** Every example of the README, of the doc comments and of examples/ type-checks and runs against the installed package. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, inject, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const source = join(inject('project'), 'source');

interface Example {
  /** Where it stands, as a user would say it. */
  title: string;
  /** Its file below `source`. */
  file: string;
  code: string;
  runs: boolean;
}

/** The blocks ```ts of a text; ```ts no-run only type-checks. Doc comments lose their leading stars. */
function blocks(file: string): Example[] {
  const text = readFileSync(join(root, file), 'utf8').replace(file.endsWith('.ts') ? /^ *\* ?/gm : /(?!)/, '');
  return [...text.matchAll(/^```ts( no-run)?\n(.*?)^```/gms)].map(([, noRun, code], i) => ({
    title: `${file}, example ${i + 1}`,
    file: `${file.replaceAll(/[^a-zA-Z0-9]/g, '-')}-${i + 1}.ts`,
    code: code!,
    runs: noRun === undefined,
  }));
}

function filesIn(folder: string, pattern: RegExp): string[] {
  if (!existsSync(join(root, folder))) return [];
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && pattern.test(entry.name));
  return files.map((entry) => relative(root, join(entry.parentPath, entry.name))).sort();
}

const written = filesIn('examples', /\.m?[jt]s$/).map((file): Example => ({
  title: file,
  file,
  code: readFileSync(join(root, file), 'utf8'),
  runs: true,
}));
const examples = [...blocks('README.md'), ...filesIn('lib', /\.ts$/).flatMap(blocks), ...written];

/** What node runs: TypeScript is compiled to `out`. */
const compiled = (file: string) =>
  file.endsWith('.ts') ? join('out', file.replace(/\.ts$/, '.js')) : join('source', file);

beforeAll(() => {
  mkdirSync(source, { recursive: true });
  if (existsSync(join(root, 'examples'))) cpSync(join(root, 'examples'), join(source, 'examples'), { recursive: true });
  for (const { file, code } of examples) writeFileSync(join(source, file), code);
});

test('all examples type-check', () => {
  const tsc = join(inject('project'), 'node_modules', 'typescript', 'bin', 'tsc');
  const { stdout } = spawnSync(process.execPath, [tsc], { cwd: inject('project'), encoding: 'utf8' });
  expect(stdout).toBe('');
});

test.each(examples.filter(({ runs }) => runs))('$title runs', ({ file }) => {
  const options = { cwd: inject('project'), encoding: 'utf8', timeout: 120_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiled(file)], {
    ...options,
    env: { ...process.env, PATH: inject('path') },
  });
  expect(status, stdout + stderr).toBe(0);
});
