/** The device of these tests: a CUDA library that is given, or the emulated one, which is built for the host. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

interface Builder {
  build(options: { target: string }): Promise<string>;
}

export async function setup(): Promise<void> {
  const { build } = createRequire(import.meta.url)('../../scripts/build-native.cjs') as Builder;
  process.env['PTMZ_CUDA_LIBRARY'] ??= join(
    await build({ target: 'ptmz_cuda_emulated' }),
    'out/libptmz_cuda_on_host.so',
  );
}
