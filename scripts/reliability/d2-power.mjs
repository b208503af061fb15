/** D2: power cuts, simulated by copying the image of a mounted file system. */
import { powerCutTrial, whyNoPowerCuts } from '../../test/support/crashes.mjs';
import { crashSeries } from './d1-kill.mjs';

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D2',
  fault: 'power cut at a random moment (ext4 image without what was not flushed; saved every step, keep 1)',
  trials: { full: 50, quick: 5 },
  unavailable: whyNoPowerCuts,
  run: (context) => crashSeries('cuts', powerCutTrial, ['1', '1'], context),
};
