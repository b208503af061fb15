/** Data sets and their readers. */
export {
  arrays,
  DataSplit,
  type ArraysOptions,
  type DataSet,
  type ImageArrays,
  type ImageShape,
  type Normalisation,
} from './dataset.js';
export { digits, type DigitsOptions } from './digits.js';
export { fashionMnist, type FashionMnistOptions } from './fashionMnist.js';
export { readIdx, type IdxArray } from './idx.js';
