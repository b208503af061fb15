// Builds and runs the C++ tests: `npm run test:native`, under AddressSanitizer and UBSan with `--sanitize`, and for 64-bit
// ARM under qemu with `--aarch64`.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { build, cmakeOptions, crossOptions } = createRequire(import.meta.url)('./build-native.cjs');
const sanitize = process.argv.includes('--sanitize');
const emulator = process.argv.includes('--aarch64') ? ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'] : [];

/** Programs that tests for another processor need, each with its Debian package. */
const crossTools = { 'aarch64-linux-gnu-g++': 'g++-aarch64-linux-gnu', 'qemu-aarch64': 'qemu-user' };

function options() {
  if (emulator.length > 0) {
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

const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));

try {
  const tree = await build({ target: 'ptmz_tests', options: options() });
  const env = {
    ...process.env,
    ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  const [command, ...before] = [...emulator, join(tree, 'ptmz_tests')];
  const { status } = spawnSync(command, [...before, ...filters], { stdio: 'inherit', env });
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
