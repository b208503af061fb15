/** Packs the package and installs the tarball as a user would: no install scripts, no compiler in reach. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of the project that the package is installed in. */
    project: string;
    /** A PATH with node and nothing else. */
    path: string;
    tarball: string;
    /** The files in the tarball. */
    files: string[];
  }
}

const root = fileURLToPath(new URL('../..', import.meta.url));

export default function setup({ provide }: TestProject): () => void {
  const scratch = mkdtempSync(join(tmpdir(), 'ptmz-package-'));
  const project = join(scratch, 'project');
  const path = join(scratch, 'bin');
  mkdirSync(project);
  mkdirSync(path);
  symlinkSync(process.execPath, join(path, 'node'));

  const [packed] = JSON.parse(npm(root, ['pack', '--ignore-scripts', '--json', '--pack-destination', scratch])) as [
    { filename: string; files: { path: string }[] },
  ];
  const tarball = join(scratch, packed.filename);

  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n');
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        target: 'ES2022',
        lib: ['ES2023', 'ESNext.Disposable'],
        module: 'NodeNext',
        types: ['node'],
        strict: true,
        rootDir: 'source',
        outDir: 'out',
      },
      include: ['source'],
    }),
  );
  const tools = ['typescript', '@types/node'].map((name) => `${name}@${installedVersion(name)}`);
  npm(project, ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...tools], path);

  provide('project', project);
  provide('path', path);
  provide('tarball', tarball);
  provide(
    'files',
    packed.files.map((file) => file.path),
  );
  return () => rmSync(scratch, { recursive: true, force: true });
}

function installedVersion(name: string): string {
  return (JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')) as { version: string })
    .version;
}

function npm(cwd: string, args: string[], path = process.env.PATH): string {
  return execFileSync(process.execPath, [npmScript(), ...args], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** npm's own script, so that it runs without the PATH of this machine. */
function npmScript(): string {
  const known = process.env.npm_execpath;
  if (known?.endsWith('npm-cli.js')) return known;
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'npm'))
    .find(existsSync);
  if (found === undefined) throw new Error('npm is not in the PATH');
  return realpathSync(found);
}
