/** `ptmz build`: builds the native addon from source, for machines that no prebuilt binary fits. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Option } from 'commander';
import { PtmzError } from '../../errors.js';
import { withExamples, type AddCommand } from '../command.js';

interface BuildOptions {
  blas?: string;
  cuda?: string;
  verbose?: boolean;
}

export const addBuild: AddCommand = (program) => {
  const command = program
    .command('build')
    .description('build the native addon from source (needs CMake 3.21 or newer and a C++20 compiler)')
    .addOption(new Option('--blas <kind>', 'library for matrix products').choices(['auto', 'openblas', 'builtin']))
    .addOption(new Option('--cuda <when>', 'build the CUDA backend').choices(['auto', 'on', 'off']))
    .option('--verbose', 'print what CMake prints')
    .action(build);
  withExamples(command, [
    ['ptmz build', 'build the native addon from source'],
    ['ptmz build --blas builtin', 'build without OpenBLAS'],
  ]);
};

function build(options: BuildOptions): void {
  const script = fileURLToPath(new URL('../../../scripts/build-native.cjs', import.meta.url));
  const env = { ...process.env };
  if (options.blas !== undefined) env.PTMZ_BLAS = options.blas.toUpperCase();
  if (options.cuda !== undefined) env.PTMZ_CUDA = options.cuda.toUpperCase();
  const { status } = spawnSync(process.execPath, [script, ...(options.verbose ? ['--verbose'] : [])], {
    env,
    stdio: 'inherit',
  });
  if (status === 0) return;
  throw new PtmzError('BUILD_FAILED', 'The native addon could not be built; the reason stands above.', {
    hint: 'On Debian or Ubuntu: apt-get install cmake g++ make libopenblas-dev',
  });
}
