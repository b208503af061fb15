// One training step of three seeds of a small ResNet-18 on two threads, against PyTorch with the same two.
import { batchTensors, randomImages, stateTensors } from '../inputs.mjs';
import { trainingFlops } from '../resnet-work.mjs';
import { compareLosses, firstLosses, residentResNet, sgd, trainingSide } from '../training.mjs';

export const title = 'training step of three seeds of ResNet-18 together, two threads on both sides';
export const groups = ['cpu'];

const seeds = [0, 1, 2];
const checked = 10;

/** Rows of the race. */
export const rows = [
  [2, 8],
  [2, 128],
  [8, 8],
].map(([width, batch], i) => ({
  id: `r18-${width}x${batch}x${seeds.length}`,
  label: `${seeds.length} x ResNet-18 ${width} x ${batch}`,
  unit: 'ms/step of all',
  threads: 2,
  slow: i > 0,
  open: (context) => open({ depth: 18, width, seeds }, batch, context),
}));

async function open(cell, batch, { threads, peer, handover }) {
  const images = randomImages(batch);
  const side = residentResNet(cell, batch);
  const { losses, states } = await firstLosses(side, checked, threads);
  const flops = seeds.length * trainingFlops(cell.depth, cell.width, batch);
  const ours = trainingSide(side, threads);
  if (!peer) return { ours, variants: [], flops, close: () => ours.dispose() };

  const members = states.flatMap((state, m) => stateTensors(state, `net${m}.`));
  const file = handover.write([...batchTensors(images), ...members]);
  const { depth, width } = cell;
  const variants = [];
  for (const way of ['sequential', 'vmap'])
    for (const layout of ['NCHW', 'channels_last']) {
      const other = await peer.open('population', { file, way, members: seeds.length, depth, width, layout, sgd });
      variants.push({ name: `${way} ${layout}`, ...other });
    }
  return {
    ...{ ours, variants, flops },
    check: async () => {
      const theirs = [];
      for (const variant of variants) theirs.push(await variant.check({ steps: checked }));
      return compareLosses(losses, theirs);
    },
    close: async () => {
      ours.dispose();
      for (const { close } of variants) await close();
    },
  };
}
