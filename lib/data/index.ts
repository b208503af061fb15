/** Data sets and their readers. */
export {
  convection,
  convectionErrors,
  type ConvectionData,
  type ConvectionErrors,
  type ConvectionGrid,
  type ConvectionOptions,
  type ConvectionPoints,
} from './convection.js';
export {
  arrays,
  DataSplit,
  type ArraysOptions,
  type DataSet,
  type ImageArrays,
  type ImageShape,
  type Normalisation,
} from './dataset.js';
export { cifar10, cifar100, type CifarOptions } from './cifar.js';
export { digits, type DigitsOptions } from './digits.js';
export { fashionMnist, type FashionMnistOptions } from './fashionMnist.js';
export { readIdx, type IdxArray } from './idx.js';
export { imageFolder, type ImageFolderOptions, type ImageFolderProgress, type NamedDataSet } from './imageFolder.js';
export { Split } from './split.js';
export { text, TextSplit, type TextOptions } from './text.js';
