// Builds and runs the C++ tests: `npm run test:native`, and under AddressSanitizer and UBSan with `--sanitize`.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { build, cmakeOptions } = createRequire(import.meta.url)('./build-native.cjs');
const sanitize = process.argv.includes('--sanitize');
// The sanitizers' own instrumentation provokes warnings that are none; the ordinary build looks for real ones.
const options = cmakeOptions(sanitize ? { PTMZ_SANITIZE: 'ON', PTMZ_WERROR: 'OFF' } : {});
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));

try {
  const tree = await build({ target: 'ptmz_tests', options });
  const env = {
    ...process.env,
    ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  const { status } = spawnSync(join(tree, 'ptmz_tests'), filters, { stdio: 'inherit', env });
  process.exitCode = status ?? 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
