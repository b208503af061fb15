// One training step of ResNet-18 and ResNet-50, width x batch size, against PyTorch.
import { batchTensors, randomImages, stateTensors } from '../inputs.mjs';
import { trainingFlops } from '../resnet-work.mjs';
import { compareLosses, firstLosses, residentResNet, sgd, trainingSide } from '../training.mjs';

export const title = 'training step of a ResNet on 3 x 32 x 32 images: forward, backward, SGD with momentum';
export const groups = ['cpu'];

const cells = [
  [18, 2, 8],
  [18, 2, 128],
  [18, 8, 8],
  [18, 8, 128],
  [18, 16, 8],
  [18, 16, 128],
  [18, 64, 128, { slow: true }],
  [50, 16, 128],
];

const checked = 10;

/** Rows of the race. */
export const rows = cells.map(([depth, width, batch, more]) => ({
  id: `r${depth}-${width}x${batch}`,
  label: `ResNet-${depth} ${width} x ${batch}`,
  unit: 'ms/step',
  open: (context) => open({ depth, width, seeds: [0] }, batch, context),
  ...more,
}));

async function open(cell, batch, { threads, peer, handover, compile }) {
  const images = randomImages(batch);
  const side = residentResNet(cell, batch);
  const { losses, states } = await firstLosses(side, checked, threads);
  const flops = trainingFlops(cell.depth, cell.width, batch);
  const ours = trainingSide(side, threads);
  if (!peer) return { ours, variants: [], flops, close: () => ours.dispose() };

  const file = handover.write([...batchTensors(images), ...stateTensors(states[0], 'net.')]);
  const layouts = [{ layout: 'NCHW' }, { layout: 'channels_last' }];
  const settings = compile ? [...layouts, ...layouts.map((s) => ({ ...s, compiled: true }))] : layouts;
  const variants = [];
  for (const setting of settings) {
    const { depth, width } = cell;
    const other = await peer.open('train_step', { file, depth, width, sgd, ...setting });
    variants.push({ name: `${setting.layout}${setting.compiled ? ' compiled' : ''}`, ...other });
  }
  return {
    ...{ ours, variants, flops },
    check: async () => {
      const theirs = [];
      for (const variant of variants.slice(0, layouts.length)) theirs.push(await variant.check({ steps: checked }));
      return compareLosses(losses, theirs);
    },
    close: async () => {
      ours.dispose();
      for (const { close } of variants) await close();
    },
  };
}
