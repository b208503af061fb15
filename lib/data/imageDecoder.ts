/** ImageDecoder: lists of JPEG and PNG files as arrays of bytes, through sharp, an optional package. */
import { availableParallelism } from 'node:os';
import { checkInteger, invalidArgument, PtmzError } from '../errors.js';
import { loadPeer, type ImportPackage } from '../peer.js';
import { checkNormalisation, type ImageArrays, type Normalisation } from './dataset.js';
import { malformed } from './files.js';
import { balancedSubset, checkCounts } from './subset.js';

const MAX_PIXELS = 2 ** 26;
const MAX_RATE = 30;

/** Where a reader of image files is. */
export interface ImageFolderProgress {
  /** Images decoded so far. */
  done: number;
  total: number;
}

/** What every reader of image files takes. */
export interface ImageFileOptions {
  /** Number of training images: a fixed subset with equal numbers of all classes. Only these are decoded. */
  train?: number;
  /** Number of test images. */
  test?: number;
  /** Images decoded at one time; as many as there are cores, at most 4, where left out. */
  parallel?: number;
  /** Stops the reading; the promise rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** Called at most 30 times a second, and at the end. */
  onProgress?: (progress: ImageFolderProgress) => void;
}

/** @internal */
export const imageFileKeys = ['train', 'test', 'normalise', 'parallel', 'signal', 'onProgress'];

/** @throws PtmzError `INVALID_ARGUMENT` naming the option @internal */
export function checkImageFiles(options: ImageFileOptions & { normalise?: Normalisation }): void {
  const { train, test, normalise, parallel, onProgress } = options;
  checkCounts({ train, test });
  if (normalise !== undefined) checkNormalisation(normalise, 3);
  if (parallel !== undefined) checkInteger('parallel', parallel, 1, 64);
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalidArgument('onProgress', 'a function', onProgress);
}

/** @internal */
export interface DecodeOptions extends Pick<ImageFileOptions, 'parallel' | 'signal' | 'onProgress'> {
  /** Side, or height and width; that of the first image where left out. */
  size?: number | readonly [height: number, width: number];
}

/** @internal */
export interface LabelledFile {
  path: string;
  label: number;
}

/** As many files as asked for, with equal numbers of all classes. @internal */
export function chooseFiles(files: LabelledFile[], classes: number, count: number | undefined): LabelledFile[] {
  if (count === undefined || count >= files.length) return files;
  const labels = files.map(({ label }) => label);
  return balancedSubset(labels, classes, count).map((i) => files[i]!);
}

/** The few methods of sharp that are used; the package itself may not be there. */
interface SharpImage {
  resize(width: number, height: number, options: object): SharpImage;
  toColourspace(space: 'srgb'): SharpImage;
  removeAlpha(): SharpImage;
  raw(options: object): SharpImage;
  toBuffer(options: { resolveWithObject: true }): Promise<{ data: Uint8Array; info: Picture }>;
}
type Sharp = (path: string, options: object) => SharpImage;

interface Picture {
  width: number;
  height: number;
  channels: number;
}

/** @param user what needs it, for the error @internal */
export const loadSharp = (user: string, load?: ImportPackage): Promise<Sharp> => loadPeer<Sharp>('sharp', user, load);

/** Decodes lists of files, a few at a time, to one size. */
export class ImageDecoder {
  #done = 0;
  #reported = -Infinity;
  /** Of all images: as asked for, or of the first image. */
  #size: { height: number; width: number; from?: string } | undefined;

  constructor(
    readonly sharp: Sharp,
    readonly options: DecodeOptions,
    readonly total: number,
  ) {
    const { size } = options;
    if (size !== undefined)
      this.#size = typeof size === 'number' ? { height: size, width: size } : { height: size[0], width: size[1] };
  }

  async decode(files: readonly LabelledFile[]): Promise<ImageArrays> {
    // The first image tells the size of all, where none is given.
    const first = await this.pixels(files[0]!.path);
    const { height, width } = (this.#size ??= { ...first.info, from: files[0]!.path });
    const plane = height * width;
    const images = allocate(files.length, 3 * plane);
    const place = (index: number, { data, info }: { data: Uint8Array; info: Picture }) => {
      this.checkSize(files[index]!.path, info);
      planes(data, images.subarray(index * 3 * plane, (index + 1) * 3 * plane));
      this.progress();
    };
    place(0, first);
    await this.parallel(1, files.length, async (i) => place(i, await this.pixels(files[i]!.path)));
    return { images, shape: [files.length, 3, height, width], labels: files.map(({ label }) => label) };
  }

  /** Calls `work` for the indices, a few at a time; after the first failure no more are begun. */
  private async parallel(from: number, to: number, work: (index: number) => Promise<void>): Promise<void> {
    let next = from;
    const worker = async () => {
      try {
        while (next < to) await work(next++);
      } catch (error) {
        next = to;
        throw error;
      }
    };
    const count = this.options.parallel ?? Math.min(4, availableParallelism());
    const workers = await Promise.allSettled(Array.from({ length: count }, worker));
    const failed = workers.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  private async pixels(path: string): Promise<{ data: Uint8Array; info: Picture }> {
    this.options.signal?.throwIfAborted();
    const input = { failOn: 'error', ignoreIcc: true, limitInputPixels: MAX_PIXELS };
    try {
      const image = this.sharp(path, input).toColourspace('srgb').removeAlpha();
      const { height, width } = this.options.size === undefined ? {} : this.#size!;
      const sized = width === undefined ? image : image.resize(width, height!, { fit: 'fill', kernel: 'linear' });
      return await sized.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    } catch (cause) {
      throw malformed(path, `cannot be decoded: ${(cause as Error).message}`, cause);
    }
  }

  private checkSize(path: string, { width, height, channels }: Picture): void {
    const size = this.#size!;
    if (channels !== 3) throw malformed(path, `cannot be decoded: ${channels} channels instead of 3`);
    if (width === size.width && height === size.height) return;
    const message = `${path}: ${width} x ${height} pixels, but ${size.from} has ${size.width} x ${size.height}`;
    throw new PtmzError('DATA_MALFORMED', message, { hint: 'Pass { size } to bring all images to one size.' });
  }

  private progress(): void {
    const { onProgress } = this.options;
    const now = performance.now();
    this.#done++;
    if (!onProgress || (this.#done < this.total && now - this.#reported < 1000 / MAX_RATE)) return;
    this.#reported = now;
    onProgress({ done: this.#done, total: this.total });
  }
}

function allocate(count: number, size: number): Uint8Array {
  try {
    return new Uint8Array(count * size);
  } catch (cause) {
    throw new PtmzError('OUT_OF_MEMORY', `${count} images of ${size} bytes do not fit into memory`, {
      hint: 'Pass a smaller size, or train and test to take a part.',
      cause,
    });
  }
}

/** From (H,W,3) to (3,H,W). */
function planes(pixels: Uint8Array, target: Uint8Array): void {
  const plane = target.length / 3;
  for (let c = 0; c < 3; c++) for (let i = 0; i < plane; i++) target[c * plane + i] = pixels[3 * i + c]!;
}
