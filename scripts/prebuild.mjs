// Builds the addon into prebuilds/<platform>-<arch>/, which is what the npm package ships: `npm run prebuild`.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { copyFileSync, existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const platform = join(root, 'prebuilds', `${process.platform}-${process.arch}`);
const nodedir = process.env.npm_config_nodedir ?? resolve(dirname(process.execPath), '..');

rmSync(join(root, 'prebuilds'), { recursive: true, force: true });
const missing = missingForNodeGyp();
if (missing === undefined) prebuildify();
else {
  console.log(`prebuild: ${missing} was not found, which node-gyp needs: building without prebuildify`);
  direct();
}
for (const file of readdirSync(platform)) {
  const megabytes = statSync(join(platform, file)).size / 2 ** 20;
  console.log(`prebuild: prebuilds/${process.platform}-${process.arch}/${file}, ${megabytes.toFixed(1)} MiB`);
}
const packed = packedMegabytes();
console.log(`prebuild: ${packed.toFixed(1)} MB packed, of at most 60`);
if (packed > 60) process.exitCode = 1;

/** What the libraries take in a package, as npm packs it. */
function packedMegabytes() {
  return readdirSync(platform).reduce(
    (sum, file) => sum + gzipSync(readFileSync(join(platform, file))).length / 1e6,
    0,
  );
}

/** prebuildify runs node-gyp, which runs make; binding.gyp delegates to CMake. */
function prebuildify() {
  const script = join(dirname(require.resolve('prebuildify/package.json')), 'bin.js');
  run(process.execPath, [script, '--napi', '--strip', '--tag-libc']);
  // node-gyp has emptied build/: the checkout gets its own addon back.
  run(process.execPath, [join(root, 'scripts', 'build-native.cjs')]);
  // prebuildify takes the addon alone; the CUDA library, where it was built, belongs beside it.
  const cuda = join(root, 'build', 'Release', 'libptmz_cuda.so');
  if (existsSync(cuda)) copyFileSync(cuda, join(platform, 'libptmz_cuda.so'));
}

/** The same without node-gyp, on machines that have no Python. */
function direct() {
  run(process.execPath, [join(root, 'scripts', 'build-native.cjs'), '--out', platform]);
  const file = join(platform, 'ptmz_native.node');
  run('strip', [file, ...(process.platform === 'darwin' ? ['-Sx'] : ['--strip-all'])]);
  const { header } = process.report.getReport();
  const libc = process.platform !== 'linux' ? '' : header.glibcVersionRuntime ? '.glibc' : '.musl';
  renameSync(file, join(platform, `ptmz-native${libc}.node`));
}

/** What node-gyp lacks here. Without the headers' folder it would download one, though the addon does not need it. */
function missingForNodeGyp() {
  const found = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  if (!found('python3') && !found('python')) return 'Python';
  if (!found('make')) return 'make';
  return existsSync(join(nodedir, 'include', 'node', 'common.gypi')) ? undefined : `${nodedir}/include/node`;
}

/** Quiet unless it fails. */
function run(command, args) {
  const env = { ...process.env, npm_config_nodedir: nodedir };
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8', env });
  if (status === 0) return;
  console.error(error?.message ?? `${stdout}${stderr}`);
  process.exit(1);
}
