/** RunVectors: a population's numbers in native memory, on the device where it is trained. */
import { Vector, type DType } from '../graph/vector.js';
import { hasSecondMoment, lbfgsColumns, type OptimizerSettings } from './optimizers.js';
import { historyColumns } from './progress.js';

/** The population's state, one row per member; the history has one row per epoch. @internal */
export interface RunVectors {
  params: Vector;
  buffers: Vector | null;
  /** Momentum buffer or first moment; of L-BFGS the gradient at the parameters. */
  velocity: Vector;
  secondMoment: Vector | null;
  /** Of L-BFGS (native/solvers/lbfgs.h). */
  pairs: Vector | null;
  search: Vector | null;
  /** Moving average of the parameters. */
  average: Vector | null;
  /** Of the host, wherever the others lie, as is the history. */
  state: Vector;
  history: Vector;
}

const stateColumns = 5;

/** What decides the sizes of {@link RunVectors}. @internal */
export interface VectorSizes {
  members: number;
  epochs: number;
  dtype: DType;
  device: string;
  optimizer: OptimizerSettings;
  params: number;
  /** 0: the model has none. */
  buffers: number;
  average: boolean;
}

/**
 * Vectors of zeros, the state that of a training that has not begun. What was made is given back where one does not fit.
 *
 * @throws PtmzError `OUT_OF_MEMORY`, `CUDA_UNAVAILABLE`
 * @internal
 */
export function createVectors(sizes: VectorSizes): RunVectors {
  const { members, epochs, dtype, device, optimizer, params, buffers } = sizes;
  const lbfgs = optimizer.kind === 'lbfgs' ? optimizer : undefined;
  const made: Vector[] = [];
  const rows = (...shape: ConstructorParameters<typeof Vector>) => {
    made.push(new Vector(...shape));
    return made.at(-1)!;
  };
  const perMember = (size: number, place = device) => rows(dtype, members, size, place);
  // What L-BFGS reads and writes itself is the host's.
  const own = lbfgs ? 'cpu' : device;
  try {
    const vectors = {
      params: perMember(params),
      buffers: buffers > 0 ? perMember(buffers) : null,
      velocity: perMember(params, own),
      secondMoment: hasSecondMoment(optimizer) ? perMember(params) : null,
      pairs: lbfgs ? perMember(2 * lbfgs.historySize * params, own) : null,
      search: lbfgs ? rows('float64', members, lbfgsColumns.count + lbfgs.historySize) : null,
      average: sizes.average ? perMember(params, own) : null,
      state: rows('float64', members, stateColumns),
      history: rows('float64', epochs, members * historyColumns).fill(NaN),
    };
    for (let m = 0; m < members; ++m) vectors.state.set(m, [0, 0, 0, 0, -1]);
    return vectors;
  } catch (error) {
    made.forEach((vector) => vector.dispose());
    throw error;
  }
}
