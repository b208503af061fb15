#!/usr/bin/env node
// Builds the addon (or the C++ tests) with CMake: the only caller of cmake. Quiet unless it fails.
//
//   node scripts/build-native.cjs [--out build/Release] [--verbose]
//
// Options come from the environment: PTMZ_BLAS, PTMZ_CUDA, PTMZ_CUDA_ARCHITECTURES, PTMZ_WERROR, PTMZ_SANITIZE (see
// CMakeLists.txt), PTMZ_JOBS.
// Tests for another processor are built with the toolchain file scripts/cmake/NAME.cmake.
'use strict';
const { spawn, spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.resolve(__dirname, '..');
const optionNames = ['PTMZ_BLAS', 'PTMZ_CUDA', 'PTMZ_CUDA_ARCHITECTURES', 'PTMZ_WERROR', 'PTMZ_SANITIZE'];
const architecture = /^(\d+[af]?(-real|-virtual)?)(;\d+[af]?(-real|-virtual)?)*$/;

/** The CMake options that the environment (or `overrides`) sets, e.g. `{ PTMZ_BLAS: 'BUILTIN' }`. */
function cmakeOptions(overrides = {}) {
  const all = { ...process.env, ...overrides };
  const given = optionNames.filter((name) => all[name]);
  const { PTMZ_CUDA_ARCHITECTURES: architectures } = all;
  if (architectures && !architecture.test(architectures))
    throw new Error(`PTMZ_CUDA_ARCHITECTURES: expected numbers as in 75 or 80-real;90-virtual, got '${architectures}'`);
  const value = (name) => (name === 'PTMZ_CUDA_ARCHITECTURES' ? architectures : all[name].toUpperCase());
  return Object.fromEntries(given.map((name) => [name, value(name)]));
}

/** Where the header packages' files are; both are dependencies, so nothing is ever downloaded. */
function nodeHeaders() {
  return ['node-api-headers', 'node-addon-api'].map((name) => path.resolve(require(name).include_dir)).join(';');
}

/** The options that build for another processor, `name` being a file of scripts/cmake. */
function crossOptions(name) {
  return {
    ...cmakeOptions({ PTMZ_BLAS: 'BUILTIN' }),
    CMAKE_TOOLCHAIN_FILE: path.join(__dirname, 'cmake', `${name}.cmake`),
  };
}

/** One build tree per set of options: CMake caches what it found, and switching options in one tree keeps it. */
function buildTree(options) {
  const key = JSON.stringify([Object.entries(options), process.arch, process.env.CXX, process.env.CXXFLAGS, root]);
  return path.join(root, 'build-cmake', createHash('sha256').update(key).digest('hex').slice(0, 12));
}

/** Keeps two builds out of one tree; returns the release function. A lock whose owner is gone is taken over. */
function lock(tree) {
  const file = path.join(tree, 'build.lock');
  fs.mkdirSync(tree, { recursive: true });
  for (;;) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: 'wx' });
      return () => fs.rmSync(file, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!ownerAlive(file)) fs.rmSync(file, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

function ownerAlive(file) {
  try {
    const pid = Number(fs.readFileSync(file, 'utf8'));
    return pid === 0 || process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Runs a command with its output kept back; rejects with that output if it fails. */
function run(command, args, onLine) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    const take = (chunk) => {
      log += chunk;
      for (const line of String(chunk).split('\n')) onLine?.(line);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (error) => {
      if (error.code === 'ENOENT') error.message = `${command} was not found (Debian: apt-get install ${command})`;
      reject(error);
    });
    child.on('close', (status) => {
      if (status === 0) resolve(log);
      else reject(new Error(`${command} ${args.slice(0, 2).join(' ')} failed\n${failureText(log)}`));
    });
  });
}

/** What matters of a failed build's log: all of it if short, else the lines from the first error on. */
function failureText(log) {
  const lines = log.trimEnd().split('\n');
  const first = lines.findIndex((line) => /error|FAILED/i.test(line));
  return lines.slice(Math.max(0, first - 2), first < 0 ? undefined : first + 80).join('\n');
}

/** Rewrites one line on a terminal; says nothing elsewhere. */
function progressLine(label) {
  if (!process.stderr.isTTY) return { update() {}, end() {} };
  return {
    update(line) {
      const step = /^\[\s*(\d+\/\d+|\d+%)\]/.exec(line);
      if (step) process.stderr.write(`\r\x1b[K${label} ${step[1]}`);
    },
    end: () => process.stderr.write('\r\x1b[K'),
  };
}

/** Configures and builds a target; returns the tree it was built in. */
async function build({ target = 'ptmz_native', options = cmakeOptions(), verbose = false } = {}) {
  const tree = buildTree(options);
  const release = lock(tree);
  const progress = progressLine(`building ${target}`);
  const show = verbose ? (line) => line && console.error(line) : progress.update;
  try {
    const ninja = spawnSync('ninja', ['--version']).status === 0;
    const defines = Object.entries(options).map(([name, value]) => `-D${name}=${value}`);
    await run(
      'cmake',
      [
        ...['-S', root, '-B', tree, '-DCMAKE_BUILD_TYPE=Release', `-DCMAKE_JS_INC=${nodeHeaders()}`],
        ...(ninja && !fs.existsSync(path.join(tree, 'CMakeCache.txt')) ? ['-G', 'Ninja'] : []),
        ...[`-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${path.join(tree, 'out')}`, ...defines],
      ],
      verbose ? show : undefined,
    );
    const jobs = process.env.PTMZ_JOBS ?? String(Math.min(os.availableParallelism(), 8));
    await run('cmake', ['--build', tree, '--target', target, '--parallel', jobs], show);
  } finally {
    progress.end();
    release();
  }
  return tree;
}

/** What a package holds: the addon, and the CUDA library where it was built. */
const delivered = /^(ptmz_native\.node|libptmz_cuda\.so|ptmz_cuda\.dll)$/;

/** Copies the built libraries to `out`. Renaming keeps processes alive that have the old file mapped. */
function deliver(tree, out) {
  fs.mkdirSync(out, { recursive: true });
  const built = fs.readdirSync(path.join(tree, 'out')).filter((name) => delivered.test(name));
  for (const name of built) {
    const temporary = path.join(out, `.${name}.${process.pid}`);
    fs.copyFileSync(path.join(tree, 'out', name), temporary);
    fs.renameSync(temporary, path.join(out, name));
  }
}

async function main() {
  const at = process.argv.indexOf('--out');
  const out = path.resolve(root, at < 0 ? 'build/Release' : process.argv[at + 1]);
  const start = Date.now();
  deliver(await build({ verbose: process.argv.includes('--verbose') }), out);
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  console.log(
    `native addon built in ${seconds} s: ${path.relative(process.cwd(), path.join(out, 'ptmz_native.node'))}`,
  );
}

module.exports = { build, cmakeOptions, crossOptions, optionNames };

if (require.main === module) {
  main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
