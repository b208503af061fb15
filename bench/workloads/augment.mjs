// Augmentation of images on one core: crop, flip, rotation and normalisation, against torchvision's transforms and bare PIL.
import { arrays, linear, prepare } from 'ptmz-native';
import { PeerError } from '../peer.mjs';
import { bestOf } from '../race.mjs';

export const title = 'crop with padding 4, flip, rotation by up to 20 degrees, normalisation of 3 x 32 x 32 images';
export const groups = ['cpu'];

const side = 32;
const batch = 128;
const count = 8 * batch;
const normalise = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
const augment = { crop: { padding: 4 }, flip: 0.5, rotate: 20 };

/** Rows of the race: milliseconds per 1000 images are microseconds per image. */
export const rows = ['torchvision', 'PIL'].map((library) => ({
  id: `augment-${library.toLowerCase()}`,
  label: `against ${library}`,
  unit: 'us/image',
  threads: 1,
  open: (context) => open(library, context),
}));

async function open(library, { threads, peer, handover }) {
  const images = Uint8Array.from({ length: count * 3 * side * side }, (_, i) => (i * 2654435761) >>> 24);
  const shape = [count, 3, side, side];
  const ours = augmentingSide(images, shape, threads);
  const alone = (note) => ({ ours, variants: [], note, close: () => ours.dispose() });
  if (!peer) return alone(rate);
  try {
    const file = handover.write([['images', { dtype: 'U8', shape, data: images }]]);
    const { crop, flip, rotate } = augment;
    const settings = { library, file, batch, padding: crop.padding, flip, rotate, ...normalise };
    const theirs = await peer.open('augment', settings);
    const measure = async (milliseconds) => perThousand(await theirs.measure(milliseconds));
    const close = async () => {
      ours.dispose();
      await theirs.close();
    };
    return { ours, variants: [{ name: library, measure }], note: rate, close };
  } catch (error) {
    if (!(error instanceof PeerError && error.message.startsWith('Unavailable'))) throw error;
    return alone((raced) => `${rate(raced)}; no peer: ${error.message}`);
  }
}

const perThousand = (perBatch) => (1000 * perBatch) / batch;

function rate({ ours, peer }) {
  const perSecond = (microseconds) => Math.round(1e6 / microseconds).toLocaleString('en');
  const theirs = peer === undefined ? '' : `, ${perSecond(peer)} of the peer`;
  return `augmented images per second and core: ${perSecond(ours)}${theirs}`;
}

/** Augmentation is part of gathering a batch, so a model is trained that does next to nothing with it. */
function augmentingSide(images, shape, threads) {
  const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
  const data = arrays({ images, shape, labels, classes: 2, normalise });
  const model = {
    name: 'one-pixel',
    input: [3, side, side],
    classes: 2,
    build: (graph, x) => linear(x.slice(2, 0, 1).slice(3, 0, 1).reshape([batch, 3]), graph.param('w', [2, 3])),
  };
  const run = prepare({ model, data, batchSize: batch, epochs: 10_000, seeds: [0], schedule: 'constant', augment });
  const steps = async (number) => {
    const until = run.step + number;
    await run.train({ until, threads });
    if (run.step !== until) throw new Error(`training stopped at step ${run.step}`);
  };
  return {
    async measure(milliseconds) {
      await steps(1);
      return perThousand(await bestOf(milliseconds, steps));
    },
    dispose() {
      run.dispose();
      data.train.dispose();
    },
  };
}
