/** Saving while a run trains: the options, their checks, and the step at which the next checkpoint is due. */
import { checkInteger, checkObject, checkString, invalidArgument, unexpected } from '../errors.js';

/** What was saved. */
export interface SavedCheckpoint {
  /** The checkpoint's directory. */
  path: string;
  /** Steps and epochs finished. */
  step: number;
  epoch: number;
}

/** How a run is saved while it trains. */
export interface SaveOptions {
  /** Directory for checkpoints; it is made where it is missing. Without it nothing is saved. */
  saveTo?: string;
  /** Default `{ epochs: 1 }`. The end of the training, and where a signal stops it, are always saved. */
  saveEvery?: { epochs: number } | { steps: number };
  /** Checkpoints that stay; older ones go once a newer one is safe. Default 2. */
  keep?: number;
  /** Called when a checkpoint is on the disk and would survive a power cut. */
  onSave?: (saved: SavedCheckpoint) => void;
}

/** @internal */
export const saveKeys = ['saveTo', 'saveEvery', 'keep', 'onSave'] as const;

/** {@link SaveOptions}, complete and checked. @internal */
export interface SavePlan {
  directory: string;
  keep: number;
  /** Steps between checkpoints. */
  interval: number;
  onSave: ((saved: SavedCheckpoint) => void) | undefined;
}

/**
 * The plan that the options ask for; undefined where nothing is to be saved.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @internal
 */
export function checkSaveOptions(options: SaveOptions, stepsPerEpoch: number): SavePlan | undefined {
  const { saveTo, saveEvery = { epochs: 1 }, keep = 2, onSave } = options;
  checkObject('saveEvery', saveEvery, ['epochs', 'steps']);
  const entries = Object.entries(saveEvery);
  if (entries.length !== 1) throw unexpected('saveEvery', '{ epochs } or { steps }', `${entries.length} keys`);
  const [unit, every] = entries[0]!;
  checkInteger(`saveEvery.${unit}`, every, 1);
  checkInteger('keep', keep, 1);
  if (onSave !== undefined && typeof onSave !== 'function') throw invalidArgument('onSave', 'a function', onSave);
  if (saveTo === undefined) {
    const given = (['saveEvery', 'keep', 'onSave'] as const).find((key) => options[key] !== undefined);
    if (given) throw unexpected('saveTo', `a directory, beside ${given}`, 'undefined');
    return undefined;
  }
  checkString('saveTo', saveTo);
  return { directory: saveTo, keep, interval: unit === 'epochs' ? every * stepsPerEpoch : every, onSave };
}
