/** Finds and loads the native addon, once per thread. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { PtmzError } from './errors.js';
import type { NativeAddon } from './native.js';

let addon: NativeAddon | undefined;

/**
 * The native addon: the one built here (`build/Release`) if there is one, else the prebuilt one for this platform.
 * Throws NO_NATIVE with what can be done about it.
 * @internal
 */
export function loadNative(): NativeAddon {
  addon ??= load();
  return addon;
}

function load(): NativeAddon {
  const require = createRequire(import.meta.url);
  try {
    return require('node-gyp-build')(fileURLToPath(new URL('..', import.meta.url))) as NativeAddon;
  } catch (cause) {
    throw new PtmzError('NO_NATIVE', explain(cause), { cause, hint: 'npx ptmz build' });
  }
}

function explain(cause: unknown): string {
  const { platform, arch, versions } = process;
  const glibc = (process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined)?.header
    ?.glibcVersionRuntime;
  const libc = platform === 'linux' ? `, ${glibc ? `glibc ${glibc}` : 'not glibc'}` : '';
  return `Could not load the native part of ptmz-native on ${platform}-${arch} (Node ${versions.node}${libc}).
${cause instanceof Error ? cause.message : String(cause)}

Possible solutions:
- Build it on this machine with \`npx ptmz build\`; that needs a C++20 compiler and CMake.
- Prebuilt binaries are for linux-x64 with glibc 2.34 or newer (Debian 12, Ubuntu 22.04, RHEL 9); build elsewhere.
- After changing node_modules between machines or platforms, remove it and run \`npm install\` again.
- If the build stops at OpenBLAS, set PTMZ_BLAS=BUILTIN; if it stops at CUDA, set PTMZ_CUDA=OFF; then build again.
- \`npx ptmz doctor\` shows what was found on this machine.`;
}
