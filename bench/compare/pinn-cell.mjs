// A cell of the zoo of physics-informed networks trained to convergence: all seeds as one population here, one after the
// other in PyTorch.
import { writeFileSync } from 'node:fs';
import { preparePINN, zoos } from 'ptmz-native';
import { formatTable } from '../../dist/cli/table.js';
import { Handover, stateTensors } from '../inputs.mjs';
import { describeMachine, formatMachine } from '../machine.mjs';
import { comparison } from './command.mjs';

const help = `node bench/compare/pinn-cell.mjs [options]

Trains the networks of one beta by L-BFGS with strong-Wolfe line searches, learning rate 1, until a tolerance of 1e-7 is
met, here and in PyTorch, from the same weights and on the same points.

  --beta N         default 1
  --seeds N        networks; default 3
  --iterations N   at most; default 10000
  --threads N      of either side; default 1
  --json FILE      write all numbers`;

const defaults = { beta: 1, seeds: 3, iterations: 10_000, threads: 1 };
const lr = 1;
const stepsPerEpoch = 100;
const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 2, notation: 'scientific' });
const columns = [
  { heading: 'seed', cell: ({ seed }) => String(seed) },
  { heading: 'loss', cell: ({ ours }) => number.format(ours.loss) },
  { heading: 'evaluations', cell: ({ ours }) => String(ours.evaluations) },
  { heading: 'PyTorch: loss', cell: ({ peer }) => number.format(peer.loss) },
  { heading: 'evaluations', cell: ({ peer }) => String(peer.evaluations) },
  { heading: 'seconds', cell: ({ peer }) => peer.seconds.toFixed(1) },
];

/** What PyTorch is given of one network: its first weights and the points. */
function tensorsOf(run, member) {
  const buffers = run.vectors.buffers.toArray();
  const points = run.layout.buffers.filter(({ name }) => /^(initial|left|right|inside)\./.test(name));
  return [
    ...points.map(({ name, offset, shape }) => [
      name,
      { dtype: 'F32', shape, data: buffers.slice(offset, offset + shape[0]) },
    ]),
    ...stateTensors(run.stateDict(member), 'net.'),
  ];
}

await comparison(help, defaults, async ({ beta, seeds, iterations, threads, json }, peer) => {
  const machine = describeMachine(await peer.call('info'));
  console.log(formatMachine(machine));
  const { recipe } = zoos.pinnConvection;
  const run = preparePINN({
    ...{ ...recipe, beta, lr, seeds: Array.from({ length: seeds }, (_, m) => m), stepsPerEpoch },
    ...{ epochs: Math.ceil(iterations / stepsPerEpoch), evaluateEvery: 10 ** 9 },
  });
  const handover = new Handover();
  try {
    const files = run.seeds.map((_, member) => handover.write(tensorsOf(run, member)));
    const began = performance.now();
    await run.train({ threads });
    const seconds = (performance.now() - began) / 1000;
    const rows = [];
    for (const [member, seed] of run.seeds.entries()) {
      const { historySize: history, toleranceGrad: tolerance } = run.settings.optimizer;
      const side = await peer.open('pinn_cell', { file: files[member], beta, history, lr, tolerance });
      const theirs = await side.ask('train', { iterations });
      await side.close();
      const ours = { loss: run.history.at(-1).trainLoss[member], evaluations: run.evaluations[member] };
      rows.push({ seed, ours, peer: theirs });
    }
    const total = rows.reduce((sum, row) => sum + row.peer.seconds, 0);
    console.log(formatTable(columns, rows));
    console.log(
      `beta ${beta}: ${seconds.toFixed(1)} s here for all seeds, ${total.toFixed(1)} s in PyTorch: ` +
        `${(total / seconds).toFixed(1)}x`,
    );
    if (json) writeFileSync(json, `${JSON.stringify({ machine, beta, lr, threads, seconds, rows }, null, 2)}\n`);
  } finally {
    handover.dispose();
    run.dispose();
  }
});
