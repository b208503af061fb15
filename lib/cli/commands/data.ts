/** `ptmz data`: what data sets there are, downloading them, and turning text into tokens. */
import { basename, extname, join } from 'node:path';
import type { Command } from 'commander';
import { downloadData, type DownloadDataProgress } from '../../data/downloadData.js';
import { downloads } from '../../data/downloads.js';
import { dataSources, specPattern } from '../../data/registry.js';
import { tokenise } from '../../data/tokenise.js';
import { checkOneOf } from '../../errors.js';
import { withExamples, type AddCommand } from '../command.js';
import { stopOnInterrupt } from '../interrupt.js';
import { number, shellWord } from '../options.js';
import { createProgress, type Progress } from '../progress.js';
import { formatBytes, formatDuration, formatTable, type Column } from '../table.js';

interface GetOptions {
  dir?: string;
  mirror?: string;
  keepArchive?: boolean;
  json?: boolean;
}

interface TokeniseOptions {
  out?: string;
  validation?: number;
  json?: boolean;
}

export const addData: AddCommand = (program) => {
  const data = program.command('data').description('list, download and prepare data sets').helpCommand(false);
  withExamples(data, [
    ['ptmz data get cifar10', 'download CIFAR-10 to data/'],
    ['ptmz data list', 'what can be read and downloaded'],
    ['ptmz data tokenize book.txt', 'GPT-2 tokens of a text'],
  ]);
  addList(data);
  addGet(data);
  addTokenize(data);
};

function addList(data: Command): void {
  const command = data
    .command('list')
    .description('list the data sets that can be read and downloaded')
    .option('--json', 'print the list as JSON')
    .action(list);
  withExamples(command, [['ptmz data list --json', 'for programs']]);
}

function addGet(data: Command): void {
  const command = data
    .command('get')
    .description('download a data set from its official place, checked against its published checksums')
    .argument('<name>', `one of ${Object.keys(downloads).join(', ')}`)
    .option('--dir <dir>', 'where to put it (default: data, or data/NAME if it is no archive)')
    .option('--mirror <url>', 'an address that has the same files under their names')
    .option('--keep-archive', 'keep the archive once it is unpacked')
    .option('--json', 'print what was done as JSON')
    .action(get);
  withExamples(command, [
    ['ptmz data get cifar10', 'to data/cifar-10-batches-py; Ctrl-C stops, the same command goes on'],
    ['ptmz data get svhn --dir /scratch/svhn', 'to another folder'],
  ]);
}

function addTokenize(data: Command): void {
  const command = data
    .command('tokenize')
    .description('turn text files into train.bin and val.bin of GPT-2 tokens, as nanoGPT reads them')
    .argument('<file...>', 'texts, documents divided by <|endoftext|>; or .jsonl with a field text in every line')
    .option('--out <dir>', 'where to write (default: data/ and the name of the first file)')
    .option(
      '--validation <x>',
      'part for val.bin (default: 0.0005 of the documents, or the last 0.1 of one)',
      number(0, 1),
    )
    .option('--json', 'print what was done as JSON')
    .action(tokenize);
  withExamples(command, [
    ['ptmz data tokenize shakespeare.txt', 'to data/shakespeare'],
    ['ptmz data tokenize part-*.jsonl --out data/web', 'one document in each line'],
  ]);
}

interface Row {
  name: string;
  images: string;
  read: string;
  get: string;
  description: string;
}

const columns: Column<Row>[] = [
  { heading: '--data', cell: ({ read }) => read },
  { heading: 'images', cell: ({ images }) => images },
  { heading: 'ptmz data get', cell: ({ get }) => get },
];

function list({ json }: { json?: boolean }): void {
  const rows: Row[] = Object.entries(dataSources).map(([name, { counts, description }]) => ({
    name,
    images: counts ? counts.map((n) => n.toLocaleString('en')).join(' + ') : '-',
    read: specPattern(name),
    get: name === 'idx' ? 'mnist, kmnist' : name in downloads ? name : name === 'cifar100-coarse' ? 'cifar100' : '-',
    description,
  }));
  if (json) {
    const available = Object.entries(downloads).map(([name, { title, files, spec }]) => {
      return { name, title, read: spec('DIR'), files: files.map(({ name: file, urls, md5 }) => ({ file, urls, md5 })) };
    });
    process.stdout.write(`${JSON.stringify({ sources: rows, downloads: available }, null, 2)}\n`);
  } else console.log(formatTable(columns, rows));
}

async function get(name: string, options: GetOptions): Promise<void> {
  checkOneOf('<name>', name, Object.keys(downloads));
  const { title, archive } = downloads[name]!;
  const dir = options.dir ?? (archive ? 'data' : join('data', name));
  const again = `ptmz data get ${name}${options.dir === undefined ? '' : ` --dir ${shellWord(dir)}`}`;
  await withProgress(`stopping; what came is kept, go on with: ${again}`, async (progress, signal) => {
    const began = performance.now();
    progress.begin(title);
    const result = await downloadData(name, dir, {
      mirror: options.mirror,
      keepArchive: options.keepArchive,
      signal,
      onProgress: downloadReporter(progress),
    });
    progress.end(result.present ? 'was there already' : formatDuration((performance.now() - began) / 1000));
    if (options.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    else console.log(`--data ${shellWord(result.spec)}`);
  });
}

/** Speed and time left are those of the file under way, since its first piece. */
function downloadReporter(progress: Progress): (p: DownloadDataProgress) => void {
  let current = '';
  let [began, first] = [0, 0];
  return ({ phase, file, index, files, received, total }) => {
    if (current !== phase + file) {
      current = phase + file;
      [began, first] = [performance.now(), received];
    }
    const rate = (received - first) / ((performance.now() - began) / 1000);
    const eta = total === undefined || rate <= 0 ? NaN : (total - received) / rate;
    const which = files > 1 ? `${file} (${index}/${files})` : file;
    const details = phase === 'unpacking' ? 'unpacking' : `${formatBytes(received)}, ${formatBytes(rate)}/s`;
    progress.update(total === undefined ? 0 : received / total, eta, `${which}  ${details}`);
  };
}

async function tokenize(files: string[], options: TokeniseOptions): Promise<void> {
  const dir = options.out ?? join('data', basename(files[0]!, extname(files[0]!)));
  await withProgress('stopping; nothing is written', async (progress, signal) => {
    const began = performance.now();
    progress.begin(files.length === 1 ? files[0]! : `${files.length} files`);
    const result = await tokenise(files, dir, {
      validation: options.validation,
      signal,
      onProgress: ({ bytes, totalBytes, tokens }) => {
        const eta = ((performance.now() - began) / 1000 / bytes) * (totalBytes - bytes);
        progress.update(bytes / totalBytes, eta, `${tokens.toLocaleString('en')} tokens`);
      },
    });
    const count = (n: number) => n.toLocaleString('en');
    const counted = (n: number, what: string) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;
    progress.end(
      `${counted(result.documents, 'document')}, ${count(result.train)} + ${count(result.validation)} tokens`,
    );
    if (options.json) process.stdout.write(`${JSON.stringify({ dir, ...result }, null, 2)}\n`);
    else console.log(dir);
  });
}

/** Does work that Ctrl-C stops, with a bar that is taken away whatever happens. */
async function withProgress(
  onStop: string,
  work: (progress: Progress, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const progress = createProgress();
  using interrupt = stopOnInterrupt(progress, onStop);
  try {
    await work(progress, interrupt.signal);
  } catch (error) {
    if (interrupt.exitCode === undefined || error !== interrupt.signal.reason) throw error;
  } finally {
    progress.stop();
  }
  if (interrupt.exitCode !== undefined) process.exitCode = interrupt.exitCode;
}
