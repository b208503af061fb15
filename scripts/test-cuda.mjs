// Runs programs on the CUDA backend without a GPU: builds its library for the host, then the oracle's operators and whole
// models against the CPU. `node scripts/test-cuda.mjs [ORACLE]`: also the operators and models of that oracle.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { build } = createRequire(import.meta.url)('./build-native.cjs');
const total = { passed: 0, failed: 0 };

const tree = await build({ target: 'ptmz_cuda_emulated' });
process.env.PTMZ_CUDA_LIBRARY = join(tree, 'out', 'libptmz_cuda_on_host.so');

for (const oracle of [join(root, 'test/oracle/fixtures'), ...process.argv.slice(2)])
  for (const part of ['ops', 'models']) runOracle(oracle, part);
const { crossEntropy, Graph, gpt2, resnet } = await import('../dist/index.js');
for (const [name, make] of Object.entries({ 'ResNet-18 of width 2': smallResNet, 'tiny GPT-2': tinyGpt2 }))
  for (const members of [1, 3]) await compareDevices(name, make, members);
console.log(`cuda on the host: ${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

function runOracle(directory, part) {
  const args = [join(root, 'dist/oracle/main.js'), directory, '--device', 'cuda', '--only', part];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const line = /(\d+) passed, (\d+) failed/.exec(stdout);
  count(`${part} of ${directory}`, status === 0 && line !== null, Number(line?.[1] ?? 1), `${stdout}${stderr}`);
}

function count(name, good, cases, detail) {
  if (good) total.passed += cases;
  else total.failed += 1;
  console.log(`${good ? 'ok    ' : 'FAILED'} ${name}${good ? '' : `\n${detail}`}`);
}

function smallResNet(graph) {
  const model = resnet({ depth: 18, width: 2, input: [3, 16, 16], classes: 10 });
  const logits = model.build(graph, graph.input('x', [4, 3, 16, 16]), { training: true });
  return { loss: crossEntropy(logits, graph.input('y', [4], 'index')), labels: 10 };
}

function tinyGpt2(graph) {
  const model = gpt2({ vocab: 19, block: 6, dim: 12, heads: 3, depth: 2 });
  const logits = model.build(graph, graph.input('x', [2, 6], 'index'), { training: true });
  return { loss: crossEntropy(logits.reshape([12, 19]), graph.input('y', [12], 'index')), labels: 19 };
}

/** Loss, gradient and Hessian-vector product on both devices, in float64 so that they must agree in many digits. */
async function compareDevices(name, make, members) {
  const results = {};
  for (const device of ['cpu', 'cuda']) {
    const graph = new Graph();
    const { loss, labels } = make(graph);
    const v = graph.direction('v');
    const outputs = { loss, grad: graph.grad(loss), hvp: graph.hvp(loss, v) };
    const program = graph.compile(outputs, { dtype: 'float64', device });
    const inputs = {};
    for (const slot of program.inputs) {
      const most = slot.name === 'y' ? labels : 19;
      const integer = (_, i) => (i * 7 + 3) % most;
      const real = (_, i) => 0.3 * Math.sin(i * 12.9898 + slot.index) + (slot.name === 'buffers' ? 1 : 0);
      const length = slot.size * (slot.varies ? members : 1);
      inputs[slot.name] = Array.from({ length }, slot.kind === 'index' ? integer : real);
    }
    const vectors = await program.run(inputs, { members });
    results[device] = Object.fromEntries(
      Object.entries(vectors).map(([key, vector]) => {
        const rows = Array.from({ length: vector.rows }, (_, row) => [...vector.toArray(row)]).flat();
        vector.dispose();
        return [key, rows];
      }),
    );
    program.dispose();
    graph.dispose();
  }
  for (const key of Object.keys(results.cpu)) {
    const [a, b] = [results.cpu[key], results.cuda[key]];
    const largest = Math.max(...a.map(Math.abs));
    const gap = Math.max(...a.map((value, i) => Math.abs(value - b[i]))) / largest;
    const good = a.length === b.length && largest > 0 && gap < 1e-9;
    count(`${name}, ${members} members: ${key}`, good, 1, `differs by ${gap} of ${largest}`);
  }
}
