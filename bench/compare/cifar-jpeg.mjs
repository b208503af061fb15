// A population of ResNet-18 on CIFAR-10 from JPEG files, and one of its members in PyTorch: accuracy and time per epoch.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageFolder, prepareResNet } from 'ptmz-native';
import { formatPercent, formatTable } from '../../dist/cli/table.js';
import { Handover, stateTensors } from '../inputs.mjs';
import { describeMachine, formatMachine } from '../machine.mjs';
import { comparison } from './command.mjs';

const help = `node bench/compare/cifar-jpeg.mjs --images PATH [options]

Trains ResNet-18 with OneCycle on images in folders train/CLASS and test/CLASS, three seeds as one population, and one
of them in PyTorch from the same pixels and weights, epoch by epoch in turns with the same threads. Times are of whole
epochs: training without augmentation, and the test images.

  --images PATH      a folder, or a .tar.gz of one, which is unpacked into a temporary folder
  --width N          channels of the first stage; default 8
  --batch N          batch size; default 128
  --epochs N         default 10
  --seeds N          members of the population; default 3
  --train N          training images, as many of each class; default 50000
  --test N           test images; default 10000
  --threads N        of either side; default 2
  --peer-epochs N    epochs that PyTorch trains, of the same schedule; default: all
  --json FILE        write all numbers`;

const lr = 0.1;
const weightDecay = 5e-4;

/** The folder that the images are in, and what to remove afterwards. */
function unpack(path) {
  if (path === '') throw new RangeError('Expected a folder or a .tar.gz for --images but received nothing');
  const kind = statSync(path, { throwIfNoEntry: false });
  if (!kind) throw new RangeError(`Expected a folder or a .tar.gz for --images but found nothing at '${path}'`);
  if (kind.isDirectory()) return { folder: path, dispose() {} };
  const folder = mkdtempSync(join(tmpdir(), 'ptmz-cifar-'));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  const { status, stderr } = spawnSync('tar', ['-xzf', path, '-C', folder], { encoding: 'utf8' });
  if (status === 0) return { folder, dispose };
  dispose();
  throw new RangeError(`Expected a .tar.gz for --images but tar says of '${path}': ${stderr.trim()}`);
}

/** Decodes the JPEG files once for both sides. */
async function decode(path, { train, test }) {
  const { folder, dispose } = unpack(path);
  try {
    const began = performance.now();
    const data = await imageFolder(folder, { train, test });
    return { data, seconds: (performance.now() - began) / 1000 };
  } finally {
    dispose();
  }
}

function pixelTensors(name, split) {
  const [count, ...image] = split.shape;
  const size = image.reduce((product, length) => product * length, 1);
  const pixels = new Uint8Array(count * size);
  for (let i = 0; i < count; ++i) pixels.set(split.image(i), i * size);
  return [
    [`${name}.x`, { dtype: 'U8', shape: split.shape, data: pixels }],
    [`${name}.y`, { dtype: 'I32', shape: [count], data: split.labels }],
  ];
}

/** PyTorch's side, with the weights that the population's first member begins with. */
async function openPeer(peer, handover, run, { width, batch, epochs }) {
  const { train, test } = run.data;
  const file = handover.write([
    ...pixelTensors('train', train),
    ...pixelTensors('test', test),
    ...stateTensors(run.stateDict(0), 'net.'),
  ]);
  const settings = { file, depth: 18, width, batch, epochs, lr, weight_decay: weightDecay, ...train.normalisation };
  // The faster layout from width 8 on, and at width 2 too since PyTorch 2.13: `npm run bench -- --only train-step`.
  return peer.open('cifar_training', { ...settings, layout: 'channels_last' });
}

const columns = [
  { heading: 'epoch', cell: ({ epoch }) => String(epoch) },
  { heading: 'ours: test accuracy of each seed', cell: ({ ours }) => ours.map(formatPercent).join('  ') },
  { heading: 'seconds', cell: ({ seconds }) => seconds.toFixed(1) },
  { heading: 'PyTorch, one seed', cell: ({ peer }) => formatPercent(peer?.test_accuracy) },
  { heading: 'seconds', cell: ({ peer }) => peer?.seconds.toFixed(1) ?? '-' },
  {
    heading: 'faster per model',
    cell: ({ ours, seconds, peer }) => (peer ? `${((ours.length * peer.seconds) / seconds).toFixed(2)}x` : '-'),
  },
];

/** One epoch of either side in turns. */
async function raceEpochs(run, theirs, { epochs, threads, batch }, peerEpochs) {
  const rows = [];
  const steps = Math.ceil(run.data.train.count / batch);
  for (let epoch = 1; epoch <= epochs; ++epoch) {
    const peer = epoch <= peerEpochs ? await theirs.ask('epoch') : undefined;
    const began = performance.now();
    await run.train({ until: epoch * steps, threads });
    const seconds = (performance.now() - began) / 1000;
    rows.push({ epoch, ours: run.history.at(-1).testAccuracy, seconds, ...(peer && { peer }) });
    process.stderr.write(`${formatTable(columns, rows.slice(-1)).split('\n')[1]}\n`);
  }
  return rows;
}

const defaults = {
  images: '',
  ...{ width: 8, batch: 128, epochs: 10, seeds: 3, train: 50_000, test: 10_000, threads: 2 },
  'peer-epochs': Number.MAX_SAFE_INTEGER,
};

await comparison(help, defaults, async (options, peer) => {
  const { width, batch, epochs, threads } = options;
  const { data, seconds } = await decode(options.images, options);
  const machine = describeMachine(await peer.call('info'));
  console.log(formatMachine(machine));
  const count = data.train.count + data.test.count;
  console.log(`${count} images decoded in ${seconds.toFixed(1)} s; ${data.train.count} to train on`);
  const seeds = Array.from({ length: options.seeds }, (_, m) => m);
  const run = prepareResNet({ depth: 18, width, data, batchSize: batch, epochs, seeds, lr, weightDecay });
  const handover = new Handover();
  try {
    const theirs = await openPeer(peer, handover, run, options);
    const rows = await raceEpochs(run, theirs, { epochs, threads, batch }, options['peer-epochs']);
    console.log(`ResNet-18 ${width} x ${batch}, ${threads} threads\n${formatTable(columns, rows)}`);
    if (options.json)
      writeFileSync(options.json, `${JSON.stringify({ machine, options, decodeSeconds: seconds, rows }, null, 2)}\n`);
  } finally {
    handover.dispose();
    run.dispose();
  }
});
