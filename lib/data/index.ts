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
export { cifar10, cifar100, type Cifar100Options, type CifarOptions } from './cifar.js';
export { digits, type DigitsOptions } from './digits.js';
export { fashionMnist, type FashionMnistOptions } from './fashionMnist.js';
export { readIdx, type IdxArray } from './idx.js';
export type { ImageFileOptions, ImageFolderProgress } from './imageDecoder.js';
export { imageFolder, type ImageFolderOptions, type NamedDataSet } from './imageFolder.js';
export type { ImageSetOptions } from './imageSet.js';
export { stl10 } from './stl10.js';
export { svhn } from './svhn.js';
export { tinyImageNet, type TinyImageNetOptions } from './tinyImageNet.js';
export {
  tokens,
  TokenSplit,
  TokenWindows,
  type TokenBatch,
  type TokenDataSet,
  type TokensOptions,
  type WindowOptions,
} from './tokens.js';
export type { DownloadProgress } from './download.js';
export {
  downloadData,
  type DownloadDataOptions,
  type DownloadDataProgress,
  type DownloadedData,
} from './downloadData.js';
export { tokenise, type TokenisedText, type TokeniseOptions, type TokeniseProgress } from './tokenise.js';
export { characters, type CharacterSet, type CharactersOptions } from './characters.js';
export { textFile, type TextFileOptions } from './textFile.js';
export { Split } from './split.js';
export { WindowSplit } from './windowSplit.js';
export { text, TextSplit, type TextOptions } from './text.js';
