/** Saving while a run trains: the options, their checks, and the step at which the next checkpoint is due. */
import { checkInteger, checkObject, checkOneOf, checkString, invalidArgument, unexpected } from '../errors.js';
import type { DiskFullError } from '../formats/diskSpace.js';

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
  /**
   * What happens where a checkpoint finds the disk full. `'wait'` (default): the training pauses, looks for space twice a
   * second and goes on once there is some. `'throw'`: it ends with `DISK_FULL`. An abort ends the pause the same way, if
   * there is still no space. Either way the older checkpoints stay whole and the run keeps its steps: `run.save()` can
   * save them elsewhere.
   */
  whenDiskFull?: 'wait' | 'throw';
  /** Called when the training pauses because the disk is full; without it the process warns. {@link onSave} ends the pause. */
  onDiskFull?: (error: DiskFullError) => void;
}

/** @internal */
export const saveKeys = ['saveTo', 'saveEvery', 'keep', 'onSave', 'whenDiskFull', 'onDiskFull'] as const;

/** {@link SaveOptions}, complete and checked. @internal */
export interface SavePlan {
  directory: string;
  keep: number;
  /** Steps between checkpoints. */
  interval: number;
  onSave: ((saved: SavedCheckpoint) => void) | undefined;
  whenDiskFull: 'wait' | 'throw';
  onDiskFull: (error: DiskFullError) => void;
}

// A training that stands still must not do so silently.
function warnOfPause({ message }: DiskFullError): void {
  process.emitWarning(`${message}; the training pauses until there is space`, { code: 'DISK_FULL' });
}

/**
 * The plan that the options ask for; undefined where nothing is to be saved.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @internal
 */
export function checkSaveOptions(options: SaveOptions, stepsPerEpoch: number): SavePlan | undefined {
  const { saveTo, saveEvery = { epochs: 1 }, keep = 2, onSave, whenDiskFull = 'wait', onDiskFull } = options;
  checkObject('saveEvery', saveEvery, ['epochs', 'steps']);
  const entries = Object.entries(saveEvery);
  if (entries.length !== 1) throw unexpected('saveEvery', '{ epochs } or { steps }', `${entries.length} keys`);
  const [unit, every] = entries[0]!;
  checkInteger(`saveEvery.${unit}`, every, 1);
  checkInteger('keep', keep, 1);
  checkOneOf('whenDiskFull', whenDiskFull, ['wait', 'throw']);
  for (const [name, callback] of Object.entries({ onSave, onDiskFull }))
    if (callback !== undefined && typeof callback !== 'function') throw invalidArgument(name, 'a function', callback);
  if (saveTo === undefined) {
    const given = saveKeys.find((key) => options[key] !== undefined);
    if (given) throw unexpected('saveTo', `a directory, beside ${given}`, 'undefined');
    return undefined;
  }
  checkString('saveTo', saveTo);
  return {
    directory: saveTo,
    keep,
    interval: unit === 'epochs' ? every * stepsPerEpoch : every,
    onSave,
    whenDiskFull,
    onDiskFull: onDiskFull ?? warnOfPause,
  };
}
