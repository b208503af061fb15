/** Folders of JPEG and PNG files, one per class, as torchvision's ImageFolder; decoded by sharp, an optional package. */
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { checkArray, checkInteger, checkObject, checkString, invalidArgument, PtmzError } from '../errors.js';
import { arrays, type DataSet, type Normalisation } from './dataset.js';
import { entryKind, fileError, malformed } from './files.js';
import {
  checkImageFiles,
  chooseFiles,
  ImageDecoder,
  imageFileKeys,
  loadSharp,
  type ImageFileOptions,
  type LabelledFile,
} from './imageDecoder.js';

/** What {@link imageFolder} takes. */
export interface ImageFolderOptions extends ImageFileOptions {
  /**
   * Side, or height and width, in pixels, that images are stretched or shrunk to (linear interpolation with
   * antialiasing). Where left out, all images must have one size.
   */
  size?: number | readonly [height: number, width: number];
  /** Computed from the training images where left out. */
  normalise?: Normalisation;
}

/** A data set that knows the names of its classes. */
export interface NamedDataSet extends DataSet {
  /** By class number. */
  readonly classNames: readonly string[];
}

const IMAGE = /\.(jpe?g|png)$/i;
const MAX_SIDE = 2 ** 14;
const MAX_NESTING = 16;

/**
 * Reads images from folders: `dir/train/CLASS/...` and `dir/test/CLASS/...` (or `dir/val/CLASS/...`), or
 * `dir/CLASS/...` without a split. Class numbers follow the sorted names of the training folders; images are sorted
 * by path, come as (N,3,H,W) bytes, and grey ones become RGB. Transparency is dropped, EXIF rotation and colour
 * profiles are ignored, as torchvision's loader does. Files other than `.jpg`, `.jpeg` and `.png` are left out.
 *
 * @throws PtmzError `MISSING_PEER` where sharp is not installed; `DATA_MISSING` where there are no folders or images;
 * `DATA_MALFORMED` naming the image that cannot be decoded or has another size; `OUT_OF_MEMORY`; `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { imageFolder, PtmzError } from 'ptmz-native';
 * try {
 *   const data = await imageFolder('photos', { size: 64, onProgress: ({ done, total }) => console.log(done, total) });
 *   console.log(data.train.shape, data.classNames);
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code); // DATA_MISSING: there is no such folder here
 * }
 * ```
 */
export async function imageFolder(dir: string, options: ImageFolderOptions = {}): Promise<NamedDataSet> {
  checkOptions(dir, options);
  options.signal?.throwIfAborted();
  const split = await findSplit(dir);
  const names = await classFolders(split.train);
  const train = chooseFiles(await findImages(split.train, names, names), names.length, options.train);
  const test = split.test === undefined ? undefined : await testImages(split.test, names, options.test);
  if (!test && options.test !== undefined)
    throw invalidArgument('test', `no count: ${dir} has no test images`, options.test);
  const decoder = new ImageDecoder(await loadSharp('imageFolder'), options, train.length + (test?.length ?? 0));
  const trainImages = await decoder.decode(train);
  const testImageArrays = test && (await decoder.decode(test));
  const data = arrays({
    ...trainImages,
    classes: names.length,
    name: basename(resolve(dir)),
    ...(testImageArrays && { test: testImageArrays }),
    ...(options.normalise && { normalise: options.normalise }),
  });
  return { ...data, classNames: names };
}

function checkOptions(dir: string, options: ImageFolderOptions): void {
  checkString('dir', dir);
  checkObject('options', options, ['size', ...imageFileKeys]);
  const { size } = options;
  if (Array.isArray(size)) {
    checkArray('size', size, 2);
    size.forEach((side, i) => checkInteger(`size[${i}]`, side, 1, MAX_SIDE));
  } else if (size !== undefined) checkInteger('size', size, 1, MAX_SIDE);
  checkImageFiles(options);
}

async function findSplit(dir: string): Promise<{ train: string; test?: string }> {
  const [train, test, val] = ['train', 'test', 'val'].map((name) => join(dir, name)) as [string, string, string];
  const has = await Promise.all([train, test, val].map(async (folder) => (await entryKind(folder)) === 'folder'));
  const rest = has[1] ? test : has[2] ? val : undefined;
  if (has[0]) return rest === undefined ? { train } : { train, test: rest };
  if (rest !== undefined) throw new PtmzError('DATA_MISSING', `${dir}: there is ${basename(rest)} but no folder train`);
  return { train: dir };
}

interface Entry {
  name: string;
  folder: boolean;
}

/** Sorted; links are followed, hidden entries left out. */
async function list(folder: string): Promise<Entry[]> {
  let entries;
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (cause) {
    throw fileError(folder, cause);
  }
  const visible = entries.filter(({ name }) => !name.startsWith('.'));
  const kinds = await Promise.all(
    visible.map(async (entry) => {
      const { name } = entry;
      const kind = entry.isSymbolicLink()
        ? await entryKind(join(folder, name))
        : entry.isDirectory()
          ? 'folder'
          : 'file';
      return { name, folder: kind === 'folder' };
    }),
  );
  return kinds.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function classFolders(folder: string): Promise<string[]> {
  const names = (await list(folder)).filter((entry) => entry.folder).map(({ name }) => name);
  if (names.length > 0) return names;
  throw new PtmzError('DATA_MISSING', `${folder}: expected one folder of images per class, there is no folder`);
}

async function findImages(
  folder: string,
  present: readonly string[],
  names: readonly string[],
): Promise<LabelledFile[]> {
  const files: LabelledFile[] = [];
  for (const name of present) {
    const paths = await imagesBelow(join(folder, name));
    if (paths.length === 0)
      throw new PtmzError('DATA_MISSING', `${join(folder, name)}: there are no .jpg, .jpeg or .png files`);
    for (const path of paths) files.push({ path, label: names.indexOf(name) });
  }
  return files;
}

async function testImages(
  folder: string,
  names: readonly string[],
  count: number | undefined,
): Promise<LabelledFile[]> {
  const present = await classFolders(folder);
  const unknown = present.find((name) => !names.includes(name));
  if (unknown !== undefined) throw malformed(join(folder, unknown), 'a class that the training images do not have');
  return chooseFiles(await findImages(folder, present, names), names.length, count);
}

/** As torchvision walks: by folder, then by name. */
async function imagesBelow(top: string): Promise<string[]> {
  const folders = new Map<string, string[]>();
  const visit = async (folder: string, depth: number) => {
    if (depth > MAX_NESTING) throw malformed(folder, `nested more than ${MAX_NESTING} folders deep; a link to itself?`);
    const entries = await list(folder);
    const images = entries.filter((entry) => !entry.folder && IMAGE.test(entry.name));
    folders.set(
      folder,
      images.map(({ name }) => join(folder, name)),
    );
    for (const entry of entries) if (entry.folder) await visit(join(folder, entry.name), depth + 1);
  };
  await visit(top, 1);
  return [...folders.keys()].sort().flatMap((folder) => folders.get(folder)!);
}
