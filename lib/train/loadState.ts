/** Loading of a state dict, such as PyTorch's, into a member of a run. */
import { createHash } from 'node:crypto';
import { checkInteger, PtmzError } from '../errors.js';
import { castFloats, isFloat } from '../formats/floatBits.js';
import type { StateDictInput } from '../formats/stateDict.js';
import { toStored, type NamedTensor, type StoredTensor } from '../formats/storedTensor.js';
import type { FlatEntry } from '../graph/flat.js';
import type { Run } from './run.js';

// What torch's BatchNorm counts beside its statistics; a run knows it from its steps.
const counter = /(^|\.)num_batches_tracked$/;
const maxShown = 12;

/**
 * Gives a member of a run that has not begun its training other parameters and buffers than those of its seed: from a
 * file of PyTorch, or from another run. Names and shapes must be those of the model, all of them.
 *
 * What was loaded is part of the run: its checkpoints hold the numbers and their SHA-256 (`run.settings.weights`), and a
 * directory of checkpoints refuses a run that began with others.
 *
 * @param member position in `run.seeds`
 * @param state tensors by name, as `readStateDict()` and `run.stateDict()` give them
 * @throws PtmzError `SHAPE_MISMATCH` listing every name that is missing, unknown or of another shape or type, and the
 * run is as before; `INVALID_ARGUMENT` where training has begun; `DISPOSED`
 * @example
 * ```ts
 * import { digits, loadStateDict, prepare, resnet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * const model = resnet({ depth: 18, width: 2, input: [1, 8, 8], classes: 10 });
 * using run = prepare({ model, data, batchSize: 50, epochs: 1, seeds: [0, 1] });
 * loadStateDict(run, 1, run.stateDict(0)); // of a file: readStateDict('model.pt')
 * ```
 */
export function loadStateDict(run: Run, member: number, state: StateDictInput): void {
  checkInteger('member', member, 0, run.members - 1);
  if (run.step > 0)
    throw new PtmzError('INVALID_ARGUMENT', `Expected a run at step 0 for run but received one at step ${run.step}`);
  const given = new Map<string, StoredTensor | NamedTensor>(state instanceof Map ? state : Object.entries(state));
  const { params } = run.layout;
  // A state dict leaves out the others, such as the points of a problem.
  const buffers = run.layout.buffers.filter(({ persistent }) => persistent);
  const wrong = differences([...params, ...buffers], given);
  if (wrong.length > 0) throw mismatch(run.model.name, wrong);
  const type = run.settings.dtype === 'float64' ? 'F64' : 'F32';
  const hash = createHash('sha256');
  const put = (entries: readonly FlatEntry[], vector: Run['vectors']['buffers']) => {
    for (const { name, offset } of entries) {
      const { data } = castFloats(toStored(`'${name}'`, given.get(name)!), type);
      vector!.set(member, data as Float32Array | Float64Array, offset);
      hash.update(`${name} `).update(data as Float32Array | Float64Array);
    }
  };
  put(params, run.vectors.params);
  put(buffers, run.vectors.buffers);
  run.recordWeights(member, hash.digest('hex'));
}

/** All at once, so that they need not be found one by one. */
function differences(entries: readonly FlatEntry[], given: ReadonlyMap<string, StoredTensor | NamedTensor>): string[] {
  const known = new Set(entries.map(({ name }) => name));
  const unknown = [...given.keys()].filter((name) => !known.has(name) && !counter.test(name));
  return [
    ...entries.flatMap(({ name, shape }) => {
      const tensor = given.get(name);
      if (!tensor) return [`'${name}' [${shape.join(',')}] is missing`];
      const { dtype, shape: actual } = toStored(`'${name}'`, tensor);
      if (!isFloat(dtype)) return [`'${name}' holds ${dtype}, not floats`];
      return String(actual) === String(shape)
        ? []
        : [`'${name}' has the shape [${actual.join(',')}] instead of [${shape.join(',')}]`];
    }),
    ...unknown.map((name) => `'${name}' is unknown`),
  ];
}

function mismatch(model: string, wrong: readonly string[]): PtmzError {
  const more = wrong.length > maxShown ? `; and ${wrong.length - maxShown} more` : '';
  return new PtmzError('SHAPE_MISMATCH', `state does not fit ${model}: ${wrong.slice(0, maxShown).join('; ')}${more}`);
}
