/** Downloads of whole data sets: their files, unpacked where they come as archives. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkBoolean, checkObject, checkOneOf, checkString, invalidArgument } from '../errors.js';
import { attempt, disk } from '../formats/atomicFile.js';
import { downloadFile, md5Of, type DownloadFileOptions, type DownloadProgress } from './download.js';
import { downloads, type Download } from './downloads.js';
import { unpack } from './unpack.js';

/** What {@link downloadData} takes. */
export interface DownloadDataOptions {
  /** An address that has the files under their names, in place of the official one. */
  mirror?: string;
  /** Keep an archive once it is unpacked; default false. */
  keepArchive?: boolean;
  /** Stops the download; what has come is kept, and the next one goes on from there. */
  signal?: AbortSignal;
  /** Called for every piece that comes, and while an archive is unpacked. */
  onProgress?: (progress: DownloadDataProgress) => void;
}

/** Where {@link downloadData} is. */
export interface DownloadDataProgress extends DownloadProgress {
  phase: 'downloading' | 'unpacking';
  /** The number of the file, from 1, of `files`. */
  index: number;
  files: number;
}

/** What {@link downloadData} did. */
export interface DownloadedData {
  /** What `openData` and `--data` take to read it. */
  spec: string;
  dir: string;
  /** Whether all of it was there already. */
  present: boolean;
}

/**
 * Downloads a data set from its official place, or finds that it is there: every file is checked against its published
 * checksum. Archives are unpacked.
 *
 * @param name mnist, fashion-mnist, kmnist, cifar10, cifar100, svhn, stl10 or tiny-imagenet
 * @param dir where archives are unpacked, and other files are put
 * @throws PtmzError `INVALID_ARGUMENT`, `CHECKSUM_MISMATCH`, `IO_ERROR` naming the address, `DISK_FULL`, `NOT_WRITABLE`,
 * `DATA_MALFORMED`; with an aborted signal it rejects with `signal.reason`
 * @example
 * ```ts no-run
 * import { cifar10, downloadData } from 'ptmz-native';
 * await downloadData('cifar10', 'data', { onProgress: ({ received, total }) => console.log(received, total) });
 * const data = await cifar10('data');
 * ```
 */
export async function downloadData(
  name: string,
  dir: string,
  options: DownloadDataOptions = {},
): Promise<DownloadedData> {
  checkOneOf('name', name, Object.keys(downloads));
  checkString('dir', dir);
  checkObject('options', options, ['mirror', 'keepArchive', 'signal', 'onProgress']);
  if (options.mirror !== undefined && !/^https?:\/\/./.test(checkString('mirror', options.mirror)))
    throw invalidArgument('mirror', 'an address that begins with http:// or https://', options.mirror);
  if (options.keepArchive !== undefined) checkBoolean('keepArchive', options.keepArchive);
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function')
    throw invalidArgument('onProgress', 'a function', options.onProgress);
  return downloadSet(downloads[name]!, dir, options);
}

/** @internal */
export async function downloadSet(
  download: Download,
  dir: string,
  options: DownloadDataOptions & Pick<DownloadFileOptions, 'pause' | 'patience'> = {},
): Promise<DownloadedData> {
  const { archive, files } = download;
  const { mirror, keepArchive, onProgress, ...rest } = options;
  const done = { spec: download.spec(dir), dir };
  if (archive && (await isUnpacked(archive, dir, options.signal))) return { ...done, present: true };
  let present = archive === undefined;
  for (const [i, file] of files.entries()) {
    const place = { index: i + 1, files: files.length };
    const urls = mirror === undefined ? file.urls : [`${mirror.replace(/\/$/, '')}/${file.name}`];
    const path = join(dir, file.name);
    const result = await downloadFile({ ...file, urls }, path, {
      ...rest,
      ...(onProgress && { onProgress: (progress) => onProgress({ phase: 'downloading', ...place, ...progress }) }),
    });
    present &&= result.present;
    if (!archive) continue;
    const report = (fraction: number) =>
      onProgress?.({
        phase: 'unpacking',
        ...place,
        file: file.name,
        received: Math.round(1000 * fraction),
        total: 1000,
      });
    await unpack(path, dir, archive, { signal: options.signal, onProgress: report });
    if (keepArchive !== true) attempt('remove', path, () => disk.remove(path));
  }
  return { ...done, present };
}

/** The folder appears when all is there, so its files are looked at only where their checksums are known. */
async function isUnpacked(
  { folder, files }: NonNullable<Download['archive']>,
  dir: string,
  signal?: AbortSignal,
): Promise<boolean> {
  for (const [name, md5] of Object.entries(files)) {
    const path = join(dir, folder, name);
    if (!existsSync(path)) return false;
    if (md5 !== undefined && (await md5Of(path, signal)) !== md5) return false;
  }
  return true;
}
