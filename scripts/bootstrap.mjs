// Sets up a checkout: system packages, npm packages, the native addon, the TypeScript layer. Node built-ins only.
//
// Idempotent: nothing is done when no source and no option changed since the last time (the stamp in node_modules).
//   PTMZ_APT=no     install nothing with apt-get        PTMZ_APT=sudo   use sudo for it
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const { optionNames } = createRequire(import.meta.url)('./build-native.cjs');
const root = fileURLToPath(new URL('..', import.meta.url));
const stampFile = join(root, 'node_modules', '.ptmz-bootstrap');
const say = (text) => console.error(`bootstrap: ${text}`);

// What apt-get can provide. `required` ones end the set-up where they cannot be had; the others have a substitute.
const systemPackages = [
  { name: 'cmake', required: true, found: () => runs('cmake') },
  { name: 'g++', required: true, found: () => process.env.CXX !== undefined || runs('c++') || runs('g++') },
  { name: 'make', required: true, found: () => runs('make') || runs('ninja') },
  {
    name: 'libopenblas-dev',
    found: () => process.env.PTMZ_BLAS?.toUpperCase() === 'BUILTIN' || findHeader('cblas.h'),
    without: 'OpenBLAS was not found: matrix products use the built-in kernels (slower, same results within rounding)',
  },
  {
    name: 'dataset-fashion-mnist',
    found: () => existsSync('/usr/share/datasets/fashion-mnist'),
    without: "Debian's Fashion-MNIST was not found: the quickstart uses the small data set of the repository",
  },
];

main();

function main() {
  const start = Date.now();
  if (readStamp() === currentState() && existsSync(join(root, 'build', 'Release', 'ptmz_native.node'))) return;

  installSystemPackages();
  // Taken before the build: a file that is edited meanwhile is built next time.
  const state = currentState();
  if (!npmPackagesInPlace()) step('npm packages', npm(['ci', '--no-audit', '--no-fund']));
  step('native addon', () => spawnSync(process.execPath, ['scripts/build-native.cjs'], inherit()));
  step('TypeScript', () => spawnSync(process.execPath, ['scripts/build-ts.mjs'], inherit()));
  linkCommand();
  writeFileSync(stampFile, `${state}\n`);
  say(`ready in ${((Date.now() - start) / 1000).toFixed(1)} s`);
}

/** A hash of everything that the set-up depends on. */
function currentState() {
  const hash = createHash('sha256').update(`${process.version} ${process.arch}\n`);
  for (const name of [...optionNames, 'PTMZ_APT', 'CXX', 'CXXFLAGS']) hash.update(`${name}=${process.env[name]}\n`);
  // With OpenBLAS or a data set installed since the last time, there is something to do.
  for (const { name, found } of systemPackages.filter((entry) => !entry.required)) hash.update(`${name}:${found()}\n`);
  const files = ['package.json', 'package-lock.json', 'CMakeLists.txt', 'tsconfig.json'];
  for (const folder of ['scripts', 'native', 'bindings', 'lib']) files.push(...sources(folder));
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** Whether node_modules holds what package-lock.json asks for (npm keeps its own record of what it installed). */
function npmPackagesInPlace() {
  const read = (...path) => JSON.parse(readFileSync(join(root, ...path), 'utf8')).packages;
  try {
    const installed = read('node_modules', '.package-lock.json');
    const wanted = Object.entries(read('package-lock.json')).filter(([path]) => path !== '');
    return wanted.every(([path, { version, optional }]) =>
      installed[path] === undefined ? optional === true : installed[path].version === version,
    );
  } catch {
    return false;
  }
}

function sources(folder) {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return paths.map((path) => path.slice(root.length)).sort();
}

function readStamp() {
  return existsSync(stampFile) ? readFileSync(stampFile, 'utf8').trim() : undefined;
}

/** Installs what is missing where that is allowed; ends the set-up only where there is no compiler or no CMake. */
function installSystemPackages() {
  let missing = systemPackages.filter(({ found }) => !found());
  if (missing.length === 0) return;
  const apt = aptCommand();
  if (apt !== undefined) {
    const names = missing.map(({ name }) => name);
    say(`installing ${names.join(' ')} with apt-get`);
    apt('update', '-qq');
    // One by one if need be: a package that this release does not have keeps none of the others away.
    if (!apt('install', ...names)) for (const name of names) apt('install', name);
    missing = missing.filter(({ found }) => !found());
  }
  for (const { without } of missing) if (without !== undefined) say(without);
  const required = missing.filter((entry) => entry.required).map(({ name }) => name);
  if (required.length === 0) return;
  const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
  say(`missing: ${required.join(', ')}. Please run this, then again what you ran:`);
  say(`  ${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends ${required.join(' ')}`);
  process.exit(1);
}

/** A function that runs apt-get and says whether it worked; undefined where apt-get may not be used. */
function aptCommand() {
  const wish = process.env.PTMZ_APT?.toLowerCase();
  if (wish === 'no' || !runs('apt-get')) return undefined;
  if (process.getuid?.() !== 0 && wish !== 'sudo') return undefined;
  const prefix = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const options = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  return (verb, ...args) => {
    const flags = verb === 'install' ? ['-y', '-qq', '--no-install-recommends'] : [];
    const [command, ...rest] = [...prefix, 'apt-get', verb, ...flags, ...args];
    return spawnSync(command, rest, options).status === 0;
  };
}

function runs(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

function findHeader(name) {
  const roots = ['/usr/include', '/usr/local/include', '/opt/homebrew/opt/openblas/include', process.env.CPATH ?? ''];
  const triplet = { x64: 'x86_64', arm64: 'aarch64' }[process.arch] ?? process.arch;
  const folders = ['', 'openblas', 'openblas-pthread', `${triplet}-linux-gnu`, `${triplet}-linux-gnu/openblas-pthread`];
  return roots.some((base) => base && folders.some((folder) => existsSync(join(base, folder, name))));
}

function npm(args) {
  // npm tells its scripts where it is; outside of npm the command of that name is used.
  const script = process.env.npm_execpath;
  const isNpm = script !== undefined && basename(script).startsWith('npm');
  return () => (isNpm ? spawnSync(process.execPath, [script, ...args], inherit()) : spawnSync('npm', args, inherit()));
}

function inherit() {
  // Standard output belongs to the command that follows the set-up.
  return { cwd: root, stdio: ['ignore', 2, 2] };
}

function step(name, action) {
  const { status, error } = action();
  if (status === 0) return;
  say(`${name}: ${error?.message ?? 'failed, see above'}`);
  process.exit(1);
}

/** `npx ptmz` in the checkout itself runs the built command. */
function linkCommand() {
  const main = join(root, 'dist', 'cli', 'main.js');
  const link = join(root, 'node_modules', '.bin', 'ptmz');
  if (!existsSync(main) || process.platform === 'win32') return;
  mkdirSync(join(root, 'node_modules', '.bin'), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync('../../dist/cli/main.js', link);
}
