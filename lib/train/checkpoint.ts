/**
 * Checkpoint: the whole state of a run as one directory that appears in one rename.
 *
 *     member-0.safetensors   parameters and buffers of a member under torchvision's names, as PyTorch loads them
 *     state.safetensors      all other vectors by name: of the optimizer, counters (P,5), history (epochs, 4 P)
 *     checkpoint.json        format, build, settings, model, data, and the SHA-256 of every tensor
 *     SHA256SUMS             of these files, as `sha256sum -c` reads it
 *
 * Random numbers and the order of samples are functions of (seed, epoch, step), so the counters are their position.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { DataIdentity } from '../data/identity.js';
import { dataIdentity } from '../data/identity.js';
import { PtmzError } from '../errors.js';
import { attempt, disk } from '../formats/atomicFile.js';
import { formatSafetensors, parseSafetensors } from '../formats/safetensors.js';
import { byTorchName, bytesOf, toStored, type StoredTensor, type TensorArray } from '../formats/storedTensor.js';
import { FlatLayout, type FlatEntry } from '../graph/flat.js';
import { elementCount } from '../graph/shape.js';
import type { Vector } from '../graph/vector.js';
import { loadNative } from '../load.js';
import { sampleShape } from '../models/trainable.js';
import type { Run, RunSettings } from './run.js';

/** Raised when a reader of this version could no longer understand what a later one writes. */
const formatVersion = 1;
const manifestFile = 'checkpoint.json';
const sumsFile = 'SHA256SUMS';
const stateFile = 'state.safetensors';
const memberFile = (member: number) => `member-${member}.safetensors`;

/** What identifies a run: two runs with equal identities compute the same numbers. */
interface RunIdentity {
  settings: Omit<RunSettings, 'model' | 'data'>;
  model: { name: string; input: readonly number[]; classes: number; params: TensorShape[]; buffers: TensorShape[] };
  data: DataIdentity;
}

interface TensorShape {
  name: string;
  shape: readonly number[];
}

/** The contents of `checkpoint.json`. @internal */
export interface CheckpointManifest extends RunIdentity {
  format: 'ptmz-checkpoint';
  version: number;
  /** SHA-256 of the identity. */
  run: string;
  step: number;
  epoch: number;
  /** `device`: cpu or cuda; missing in what earlier versions wrote. */
  build: { version: string; compiler: string; blas: string; simd: string; device?: string };
  /** File -> tensor -> SHA-256 of its bytes. */
  tensors: Record<string, Record<string, string>>;
}

/** A checkpoint as it was read, checksums verified. @internal */
export interface Checkpoint {
  path: string;
  manifest: CheckpointManifest;
  members: Map<string, StoredTensor>[];
  state: Map<string, StoredTensor>;
}

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

function runIdentity(run: Run): RunIdentity {
  const { model, data, ...settings } = run.settings;
  const shapes = (entries: readonly FlatEntry[]) => entries.map(({ name, shape }) => ({ name, shape: [...shape] }));
  const { name } = model;
  const { input, classes } = sampleShape(model);
  const [params, buffers] = [shapes(run.layout.params), shapes(run.layout.buffers)];
  return { settings, model: { name, input, classes, params, buffers }, data: dataIdentity(data) };
}

/** Hash of all that decides a run's numbers. @internal */
export function runDigest(run: Run): string {
  return sha256(JSON.stringify(runIdentity(run)));
}

/** The build whose numbers these are; results are equal bit for bit only on the same one. @internal */
export function currentBuild(device: string): Required<CheckpointManifest['build']> {
  const { version, compiler, blas, simd } = loadNative().info();
  return { version, compiler, blas, simd: simd.used, device: device.split(':')[0]! };
}

// Parameters and buffers lie in the members' files.
function stateVectors(run: Run): [name: string, vector: Vector][] {
  return Object.entries(run.vectors as unknown as Record<string, Vector | null>).filter(
    (entry): entry is [string, Vector] => entry[1] !== null && entry[0] !== 'params' && entry[0] !== 'buffers',
  );
}

function storedVector(vector: Vector): StoredTensor {
  const rows = Array.from({ length: vector.rows }, (_, row) => vector.toArray(row));
  const data = new (rows[0]!.constructor as Float64ArrayConstructor)(vector.rows * vector.size);
  rows.forEach((row, m) => data.set(row, m * vector.size));
  return { dtype: byTorchName.get(vector.dtype)!, shape: [vector.rows, vector.size], data };
}

function storedMember(run: Run, member: number): Map<string, StoredTensor> {
  const entries = Object.entries(run.stateDict(member));
  return new Map(entries.map(([name, tensor]) => [name, toStored(name, tensor)]));
}

/** The first number that is not finite, as text. */
function nonFinite(tensors: Iterable<[name: string, data: ArrayLike<number | bigint>]>): string | undefined {
  for (const [name, data] of tensors) {
    if (data instanceof BigInt64Array) continue;
    const index = Array.prototype.findIndex.call(data, (x) => !Number.isFinite(x));
    if (index >= 0) return `${name}[${index}] = ${data[index]}`;
  }
  return undefined;
}

/** What moves on with a member's steps: its tensors and its moments. */
function* numbersOf(run: Run, member: number, tensors: ReadonlyMap<string, StoredTensor>) {
  for (const [name, { data }] of tensors) yield [name, data] as [string, TensorArray];
  const { velocity, secondMoment } = run.vectors;
  for (const [name, vector] of Object.entries({ velocity, secondMoment }))
    if (vector) yield [name, vector.toArray(member)] as [string, TensorArray];
}

// The training freezes a member before its numbers turn bad, so this can only be a fault - or a member that was bad from
// its first values on, and is frozen at step 0.
function checkFinite(run: Run, members: readonly ReadonlyMap<string, StoredTensor>[]): void {
  run.divergedAt.forEach((frozenAt, m) => {
    const found = frozenAt === 0 ? undefined : nonFinite(numbersOf(run, m, members[m]!));
    if (found !== undefined && run.step > 0)
      throw new PtmzError('NON_FINITE', `member ${m} is not saved: ${found}; the checkpoint before is kept`);
  });
}

/**
 * The files of a run's checkpoint, by name.
 *
 * @throws PtmzError `BUSY`, `DISPOSED`, `NON_FINITE`
 * @internal
 */
export function formatCheckpoint(run: Run): Map<string, Uint8Array> {
  const identity = runIdentity(run);
  const members = run.seeds.map((_, m) => storedMember(run, m));
  checkFinite(run, members);
  const state = new Map(stateVectors(run).map(([name, vector]) => [name, storedVector(vector)]));
  const parts = new Map([...members.map((tensors, m) => [memberFile(m), tensors] as const), [stateFile, state]]);
  const files = new Map<string, Uint8Array>();
  const tensors: CheckpointManifest['tensors'] = {};
  for (const [file, contents] of parts) {
    files.set(file, formatSafetensors(contents, { format: 'pt' }));
    tensors[file] = Object.fromEntries([...contents].map(([name, tensor]) => [name, sha256(bytesOf(tensor))]));
  }
  const manifest: CheckpointManifest = {
    format: 'ptmz-checkpoint',
    version: formatVersion,
    run: sha256(JSON.stringify(identity)),
    step: run.step,
    epoch: run.history.length,
    build: currentBuild(run.device),
    ...identity,
    tensors,
  };
  files.set(manifestFile, Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`));
  return files.set(sumsFile, Buffer.from(sums(files)));
}

function sums(files: ReadonlyMap<string, Uint8Array>): string {
  const names = [...files.keys()].filter((name) => name !== sumsFile).sort();
  return names.map((name) => `${sha256(files.get(name)!)}  ${name}\n`).join('');
}

const mismatch = (path: string, what: string) =>
  new PtmzError('CHECKSUM_MISMATCH', `${path}: ${what} is not as it was written`);

function readFiles(path: string): Map<string, Uint8Array> {
  const names = attempt('list', path, () => disk.list(path));
  for (const name of [manifestFile, sumsFile])
    if (!names.includes(name)) throw mismatch(join(path, name), 'the file is missing; the checkpoint');
  return new Map(names.map((name) => [name, attempt('read', join(path, name), () => disk.read(join(path, name)))]));
}

/** Throws an error that names the tensor whose bytes changed, or else the file. */
function blame(path: string, files: ReadonlyMap<string, Uint8Array>): never {
  const text = Buffer.from(files.get(sumsFile)!).toString();
  const expected = sums(files);
  const recorded = new Set(text.split('\n'));
  const bad = expected.split('\n').find((line) => !recorded.has(line));
  if (bad === undefined) throw mismatch(join(path, sumsFile), 'the list of checksums');
  const name = bad.slice(66);
  const file = join(path, name);
  if (name === manifestFile) throw mismatch(file, 'the manifest');
  const manifest = JSON.parse(Buffer.from(files.get(manifestFile)!).toString()) as CheckpointManifest;
  let tensors: Map<string, StoredTensor>;
  try {
    tensors = parseSafetensors(files.get(name)!, file);
  } catch (cause) {
    throw new PtmzError('CHECKSUM_MISMATCH', `${file}: the header is not as it was written`, { cause });
  }
  for (const [tensor, sum] of Object.entries(manifest.tensors[name] ?? {})) {
    const stored = tensors.get(tensor);
    if (!stored || sha256(bytesOf(stored)) !== sum) throw mismatch(file, `tensor '${tensor}'`);
  }
  throw mismatch(file, 'the header');
}

/**
 * Reads a checkpoint and verifies every byte of it.
 *
 * @throws PtmzError `CHECKSUM_MISMATCH` naming file and tensor, `CHECKPOINT_MISMATCH` for a format of the future,
 * `IO_ERROR`
 * @internal
 */
export function readCheckpoint(path: string): Checkpoint {
  const files = readFiles(path);
  if (Buffer.compare(Buffer.from(sums(files)), files.get(sumsFile)!) !== 0) blame(path, files);
  const manifest = JSON.parse(Buffer.from(files.get(manifestFile)!).toString()) as CheckpointManifest;
  const { format, version } = manifest;
  if (format !== 'ptmz-checkpoint' || version > formatVersion)
    throw new PtmzError(
      'CHECKPOINT_MISMATCH',
      `${path}: the format is ${format} ${version}, this version reads ptmz-checkpoint up to ${formatVersion}`,
      { hint: 'Read it with the version of this package that wrote it, or a later one.' },
    );
  const tensors = (name: string) => {
    const bytes = files.get(name);
    if (!bytes) throw mismatch(join(path, name), 'the file is missing; the checkpoint');
    return parseSafetensors(bytes, join(path, name));
  };
  const members = manifest.settings.seeds.map((_, m) => tensors(memberFile(m)));
  return { path, manifest, members, state: tensors(stateFile) };
}

/**
 * A member's tensors, as its file holds them.
 *
 * @param average whether parameters are their moving average
 * @returns undefined where the run keeps no average
 * @internal
 */
export function memberTensors(
  { manifest, members, state }: Checkpoint,
  member: number,
  average: boolean,
): ReadonlyMap<string, StoredTensor> | undefined {
  const tensors = members[member]!;
  const all = state.get('average');
  if (!average || !all) return average ? undefined : tensors;
  const layout = new FlatLayout();
  const places = manifest.model.params.map(({ name, shape }) => ({ name, shape, offset: layout.reserve(shape) }));
  const row = (all.data as Float32Array).subarray(member * layout.size, (member + 1) * layout.size);
  const averaged = new Map(
    places.map(({ name, shape, offset }) => {
      const data = row.slice(offset, offset + elementCount(shape));
      return [name, { dtype: all.dtype, shape: [...shape], data }] as const;
    }),
  );
  return new Map([...tensors].map(([name, tensor]) => [name, averaged.get(name) ?? tensor]));
}

/** Writes a checkpoint's numbers into a run of the same identity. @internal */
export function restore(run: Run, { path, members, state }: Checkpoint): void {
  const take = (tensors: ReadonlyMap<string, StoredTensor>, name: string, length: number): TensorArray => {
    const data = tensors.get(name)?.data;
    if (data?.length === length) return data;
    throw new PtmzError('CHECKPOINT_MISMATCH', `${path}: expected ${length} values of '${name}', got ${data?.length}`);
  };
  const { params, buffers } = run.vectors;
  const put = (vector: Vector, entries: readonly FlatEntry[], m: number) => {
    // What is not persistent follows from the settings and the model.
    for (const { name, shape, offset } of entries.filter(({ persistent }) => persistent)) {
      const length = shape.reduce((product, size) => product * size, 1);
      vector.set(m, take(members[m]!, name, length) as Float32Array, offset);
    }
  };
  members.forEach((_, m) => {
    put(params, run.layout.params, m);
    if (buffers) put(buffers, run.layout.buffers, m);
  });
  for (const [name, vector] of stateVectors(run)) {
    const data = take(state, name, vector.rows * vector.size) as Float64Array;
    for (let row = 0; row < vector.rows; row++)
      vector.set(row, data.subarray(row * vector.size, (row + 1) * vector.size));
  }
}
