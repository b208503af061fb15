// Compiles every CUDA kernel for each architecture, warnings as errors, and prints what it needs of a multiprocessor:
// registers, shared memory, stack and spills. Fails where a hot kernel spills. `node scripts/check-kernels.mjs [80 90]`
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'native/backend/cuda/kernels');
const architectures = process.argv.length > 2 ? process.argv.slice(2) : ['80', '90'];
// What a step spends its time in: contractions, maps and reductions in float32, and batch norm. The 64-bit indices are
// for tensors of more than 2^31 elements. Of the kernels around a program, those that touch every pixel or parameter.
const hot =
  /^(contract|narrow|gather_columns|add_columns|map|small_maps|reduce_sum|sum_channel|normalise|layer_norm|attention|load_images|check_update|update)\w*<float(?!.*long)/;

const output = mkdtempSync(join(tmpdir(), 'ptmz-kernels-'));
try {
  const jobs = architectures.flatMap((architecture) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.cu'))
      .map((name) => ({ architecture, name })),
  );
  const kernels = (await inParallel(jobs, compile)).flat();
  print(kernels);
  const bad = kernels.filter(({ name, spills }) => spills > 0 && hot.test(name));
  for (const { name, architecture, spills } of bad)
    console.log(`FAILED ${name} for sm_${architecture} spills ${spills} bytes`);
  console.log(`kernels: ${kernels.length - bad.length} passed, ${bad.length} failed`);
  process.exitCode = bad.length > 0 ? 1 : 0;
} catch (error) {
  console.log(`${error.message}\nkernels: 0 passed, 1 failed`);
  process.exitCode = 1;
} finally {
  rmSync(output, { recursive: true, force: true });
}

async function inParallel(jobs, run) {
  const results = [];
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) results.push(await run(job));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

/** The resource lines that nvcc prints for each kernel of a file, with their names as in the source. */
async function compile({ architecture, name }) {
  const object = join(output, `${name}.${architecture}.o`);
  const flags = ['-std=c++20', '-O3', `-arch=sm_${architecture}`, '--resource-usage', '--Werror=all-warnings'];
  const log = await text('nvcc', [
    ...flags,
    '-Xcompiler=-Wall',
    `-I${join(root, 'native')}`,
    '-c',
    join(folder, name),
    '-o',
    object,
  ]);
  const parts = log.split(/Compiling entry function '/).slice(1);
  const names = await demangle(parts.map((part) => part.slice(0, part.indexOf("'"))));
  return parts.map((part, i) => ({
    architecture,
    name: names[i],
    registers: number(part, /Used (\d+) registers/),
    shared: number(part, /(\d+) bytes smem/),
    stack: number(part, /(\d+) bytes stack frame/),
    spills: number(part, /(\d+) bytes spill stores/) + number(part, /(\d+) bytes spill loads/),
  }));
}

function number(line, pattern) {
  return Number(pattern.exec(line)?.[1] ?? 0);
}

/** `contract<float, Matmul, 64, 64, 4, 4>` rather than its mangled or fully qualified name. */
async function demangle(mangled) {
  if (mangled.length === 0) return [];
  const full = await text('c++filt', mangled);
  return full
    .trim()
    .split('\n')
    .map((line) =>
      line
        .replace(/\((ptmz::(cuda::)?)?(StepTask|Task|Together)( const)?\)$/, '')
        .replace(/^void /, '')
        .replace(/ptmz::(cuda::)?|\(anonymous namespace\)::/g, ''),
    );
}

function text(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let all = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (all += chunk));
    child.on('error', reject);
    child.on('close', (status) => (status === 0 ? resolve(all) : reject(new Error(`${command} failed\n${all}`))));
  });
}

function print(all) {
  const rows = all.toSorted((a, b) => a.name.localeCompare(b.name) || a.architecture - b.architecture);
  console.log('sm  registers  shared  stack  spills  kernel');
  for (const { architecture, registers, shared, stack, spills, name } of rows) {
    const cells = [registers, shared, stack, spills].map((value, i) => String(value).padStart([9, 7, 6, 7][i]));
    console.log(`${architecture} ${cells.join(' ')}  ${name}`);
  }
}
