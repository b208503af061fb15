/**
 * ZooStore: the folder of a zoo, which is all of its state; locked until it is disposed of.
 *
 *     params.json                            the settings; another zoo does not get in
 *     result.json                            a line per member and epoch of every finished cell
 *     cells.csv                              a line per finished cell
 *     checkpoints/width=2,batchsize=16/      the population of a cell, under way or trained
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { attempt, disk, makeWritable, writeFileAtomic } from '../formats/atomicFile.js';
import { lockDirectory, type DirectoryLock } from '../formats/directoryLock.js';
import { cellsOf, gridParams, type Cell, type Grid } from './grid.js';
import { parseLine, type ResultLine } from './resultLine.js';
import { formatCsv, summarise, type CellSummary } from './summary.js';

export class ZooStore implements Disposable {
  readonly #finished = new Map<string, readonly ResultLine[]>();
  readonly #lock: DirectoryLock;

  /**
   * Opens the folder of a zoo, or makes it.
   *
   * @throws PtmzError `CHECKPOINT_MISMATCH` where it holds a zoo of other settings, naming those; `DATA_MALFORMED` where
   * its files are damaged; `BUSY` where a process is at work there; `NOT_WRITABLE`, `DISK_FULL`, `IO_ERROR`
   */
  constructor(
    readonly directory: string,
    readonly grid: Grid,
  ) {
    const path = this.path('params.json');
    if (existsSync(path)) checkSame(path, readParams(path), gridParams(grid));
    makeWritable(directory);
    this.#lock = lockDirectory(directory);
    try {
      if (existsSync(path)) this.#readResults();
      else this.write('params.json', `${JSON.stringify(gridParams(grid), null, 2)}\n`);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Lets others in. */
  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Writes a file of the folder, whole or not at all. */
  write(name: string, content: string | Uint8Array): string {
    writeFileAtomic(this.path(name), typeof content === 'string' ? Buffer.from(content) : content);
    return this.path(name);
  }

  /** Where the population of a cell is saved. */
  checkpoints(cell: Cell): string {
    return join(this.directory, 'checkpoints', cell.name);
  }

  isFinished(cell: Cell): boolean {
    return this.#finished.has(cell.name);
  }

  /** Of the finished cells. */
  summaries(): CellSummary[] {
    return summarise(this.grid, (cell) => this.#finished.get(cell.name));
  }

  /** Records a cell; on return a power cut does not take it back. */
  finish(cell: Cell, lines: readonly ResultLine[]): void {
    this.#lock.check();
    this.#finished.set(cell.name, lines);
    const all = cellsOf(this.grid).flatMap(({ name }) => this.#finished.get(name) ?? []);
    this.write('cells.csv', formatCsv(this.summaries()));
    // Last: what is in here counts as finished.
    this.write('result.json', all.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }

  #readResults(): void {
    const path = this.path('result.json');
    if (!existsSync(path)) return;
    const lines = readText(path)
      .split('\n')
      .flatMap((text, i) => {
        if (text === '') return [];
        const line = parseLine(text);
        if (line) return [line];
        throw damaged(path, `line ${i + 1} is not a result`);
      });
    const { grid } = this;
    for (const cell of cellsOf(grid)) {
      const trials = new Set(grid.seeds.map((seed) => `${cell.name},seed=${seed}`));
      const own = lines.filter(({ trial_id }) => trials.has(trial_id));
      if (own.filter(({ done }) => done).length === trials.size) this.#finished.set(cell.name, own);
    }
  }
}

const readText = (path: string) => new TextDecoder().decode(attempt('read', path, () => disk.read(path)));

function damaged(path: string, what: string): PtmzError {
  const hint = 'Its cells are measured again from their checkpoints once the file is removed.';
  return new PtmzError('DATA_MALFORMED', `${path}: ${what}`, path.endsWith('result.json') ? { hint } : {});
}

function readParams(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readText(path));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    if (error instanceof PtmzError) throw error;
  }
  throw damaged(path, 'is not a JSON object of settings');
}

/** A folder is of one zoo: results of two would look like one. */
function checkSame(path: string, stored: Record<string, unknown>, wanted: Record<string, unknown>): void {
  const text = (value: unknown) => JSON.stringify(value) ?? 'absent';
  const keys = [...new Set([...Object.keys(wanted), ...Object.keys(stored)])];
  const differences = keys
    .filter((key) => text(stored[key]) !== text(wanted[key]))
    .map((key) => `${key} is ${text(stored[key])} there and ${text(wanted[key])} here`);
  if (differences.length === 0) return;
  throw new PtmzError('CHECKPOINT_MISMATCH', `${path} is of a zoo with other settings: ${differences.join('; ')}`, {
    hint: 'Choose another folder with --out, or the same settings to go on with that one.',
  });
}
