// Builds and runs the C++ tests: `npm run test:native`, under AddressSanitizer and UBSan with `--sanitize`, and for 64-bit
// ARM under qemu with `--aarch64`. The second executable holds the CUDA kernels, compiled for the host. Other arguments
// are parts of the names of tests to run.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { build, cmakeOptions, crossOptions } = createRequire(import.meta.url)('./build-native.cjs');
const sanitize = process.argv.includes('--sanitize');
const aarch64 = process.argv.includes('--aarch64');
const emulator = aarch64 ? ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'] : [];
const targets = aarch64 ? ['ptmz_tests'] : ['ptmz_tests', 'ptmz_cuda_tests'];
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const env = {
  ...process.env,
  ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

/** Programs that tests for another processor need, each with its Debian package. */
const crossTools = { 'aarch64-linux-gnu-g++': 'g++-aarch64-linux-gnu', 'qemu-aarch64': 'qemu-user' };

function options() {
  if (aarch64) {
    const missing = Object.keys(crossTools).filter((tool) => spawnSync(tool, ['--version']).status !== 0);
    if (missing.length > 0)
      throw new Error(
        `${missing.join(' and ')} not found (Debian: apt-get install ${missing.map((tool) => crossTools[tool]).join(' ')})`,
      );
    return crossOptions('aarch64');
  }
  // The sanitizers' own instrumentation provokes warnings that are none; the ordinary build looks for real ones.
  return cmakeOptions(sanitize ? { PTMZ_SANITIZE: 'ON', PTMZ_WERROR: 'OFF' } : {});
}

/** Runs one executable with its output passed on; returns its counts, a failure for a crash. */
function run(executable) {
  const [command, ...before] = [...emulator, executable];
  const { status, stdout } = spawnSync(command, [...before, ...filters], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env,
  });
  process.stdout.write(stdout ?? '');
  const line = /(\d+) passed, (\d+) failed\s*$/.exec(stdout ?? '');
  const [passed, failed] = line ? [Number(line[1]), Number(line[2])] : [0, 0];
  return { passed, failed: status === 0 ? failed : Math.max(1, failed) };
}

try {
  const total = { passed: 0, failed: 0 };
  for (const target of targets) {
    const { passed, failed } = run(join(await build({ target, options: options() }), target));
    total.passed += passed;
    total.failed += failed;
  }
  console.log(`native: ${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
