// Lints and checks the format of everything; `--fix` rewrites instead. Tools that are not installed are named and left out.
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const fix = process.argv.includes('--fix');
const native = ['native', 'bindings', 'test/native', 'bench/native'].flatMap((folder) =>
  files(folder, /\.(cpp|h|cu|cuh)$/),
);

const checks = [
  { name: 'oxlint', run: () => bin('oxlint', fix ? ['--fix'] : ['--deny-warnings']) },
  { name: 'prettier', run: () => bin('prettier', [fix ? '--write' : '--check', '--log-level', 'warn', '.']) },
  { name: 'types of tests, examples and benchmarks', run: () => bin('tsc', ['-p', 'tsconfig.test.json']) },
  { name: 'clang-format', run: clangFormat },
  { name: 'every C++ source is in CMakeLists.txt', run: sourcesAreListed },
];

let failed = 0;
for (const { name, run } of checks) {
  const status = run();
  const verdict = status === undefined ? 'not installed, left out' : status === 0 ? 'ok' : 'FAILED';
  if (verdict === 'FAILED') failed += 1;
  console.log(`lint: ${name}: ${verdict}`);
}
process.exitCode = failed > 0 ? 1 : 0;

function bin(name, args) {
  return command(join(root, 'node_modules', '.bin', name), args);
}

/** The exit status; undefined if there is no such command. */
function command(name, args) {
  const { status, error } = spawnSync(name, args, { cwd: root, stdio: 'inherit' });
  return error?.code === 'ENOENT' ? undefined : (status ?? 1);
}

function clangFormat() {
  return command('clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), '--style=file', ...native]);
}

/** A file that nobody compiles would rot unseen. */
function sourcesAreListed() {
  const cuda = 'native/backend/cuda'; // with lists of its own, relative to their folders
  const listed = [cuda, `${cuda}/host`].flatMap((folder) =>
    (readFileSync(join(root, folder, 'CMakeLists.txt'), 'utf8').match(/[\w./]+\.(cpp|cu)\b/g) ?? []).map((file) =>
      join(folder, file),
    ),
  );
  const text = [readFileSync(join(root, 'CMakeLists.txt'), 'utf8'), ...listed].join('\n');
  const missing = native.filter((file) => /\.(cpp|cu)$/.test(file) && !text.includes(file));
  for (const file of missing) console.log(`${file} is not listed in CMakeLists.txt`);
  return missing.length > 0 ? 1 : 0;
}

function files(folder, pattern) {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile() && pattern.test(entry.name));
  return paths.map((entry) => relative(root, join(entry.parentPath, entry.name))).sort();
}
