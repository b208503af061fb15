/** `ptmz convert`: the weights of a network, from one file format into another, or from a saved run into a file. */
import { readdirSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { PtmzError, unexpected } from '../../errors.js';
import { floatTypes, type FloatType } from '../../formats/floatBits.js';
import { formatOf, readStateDict, stateFormats, writeStateDict, type StateFormat } from '../../formats/stateDict.js';
import { statOf } from '../../formats/inputFile.js';
import { byTorchName, torchName, type StoredTensor } from '../../formats/storedTensor.js';
import { memberTensors } from '../../train/checkpoint.js';
import { newestCheckpoint } from '../../train/checkpoints.js';
import { withExamples, type AddCommand } from '../command.js';
import { integer } from '../options.js';
import { formatTable, type Column } from '../table.js';

interface Options {
  member?: number;
  average?: boolean;
  dtype?: string;
  to?: StateFormat;
  force?: boolean;
  json?: boolean;
}

/** Tensors by name, and where they come from. */
interface Source {
  tensors: ReadonlyMap<string, StoredTensor>;
  /** The checkpoint, if it is a run. */
  checkpoint?: string;
}

export const addConvert: AddCommand = (program) => {
  const command: Command = program
    .command('convert')
    .description('convert the weights of a network between PyTorch, safetensors and NumPy')
    .argument('<in>', 'a .pt, .pth or .safetensors file, a folder of .npy files, or a saved run')
    .argument('<out>', 'a file whose extension tells the format, or a name without one for a folder of .npy files')
    .option('--member <n>', 'of a run: which of its networks, from 0 (default: the only one)', integer(0))
    .option('--average', 'of a run with --average: the moving average of its weights')
    .addOption(
      new Option('--dtype <type>', 'of the weights that are floats (default: as they are)').choices(
        floatTypes.map(torchName),
      ),
    )
    .addOption(new Option('--to <format>', 'of <out> (default: by its extension)').choices(stateFormats))
    .option('--force', 'replace <out> if it is a file that exists')
    .option('--json', 'print names, types and shapes as JSON')
    .action(convert);
  withExamples(command, [
    ['ptmz convert model.pt model.safetensors', 'from PyTorch, without running anything in the file'],
    ['ptmz convert runs/resnet18-w8-b64-digits out.pt --member 2', 'a trained network, for torch.load and torchvision'],
    ['ptmz convert model.safetensors half.pt --dtype bfloat16', 'half the size'],
    ['ptmz convert model.pt arrays', 'one arrays/NAME.npy for each tensor'],
  ]);
};

function convert(input: string, output: string, options: Options): void {
  const format = options.to ?? formatOf(output);
  if (format === undefined)
    throw unexpected('<out>', 'one of .pt, .pth, .safetensors or no extension', `'${extname(output)}'; or say --to`);
  checkOutput(input, output, format, options.force ?? false);
  const source = readSource(input, options);
  const dtype = options.dtype === undefined ? undefined : (byTorchName.get(options.dtype) as FloatType);
  writeStateDict(output, source.tensors, { format, dtype });
  report(input, output, source, options);
}

function checkOutput(input: string, output: string, format: StateFormat, force: boolean): void {
  if (resolve(input) === resolve(output)) throw unexpected('<out>', 'another place than <in>', `'${output}'`);
  const found = statOf(output);
  if (!found || (force && format !== 'npy' && found.isFile())) return;
  throw new PtmzError('NOT_WRITABLE', `${output}: there is something of that name`, {
    hint: format === 'npy' ? 'A folder is not written over anything.' : 'A file is replaced with --force.',
  });
}

const isRun = (path: string) =>
  statOf(path)?.isDirectory() === true && !readdirSync(path).some((name) => name.endsWith('.npy'));

function readSource(input: string, { member, average = false }: Options): Source {
  if (!isRun(input)) {
    if (member !== undefined) throw unexpected('--member', 'nothing beside a file', String(member));
    if (average) throw unexpected('--average', 'nothing beside a file', 'true');
    return { tensors: readStateDict(input) };
  }
  const { checkpoint, damaged } = newestCheckpoint(input);
  for (const { message } of damaged) process.stderr.write(`warning: ${message}; taking ${checkpoint.path}\n`);
  const { members, path } = checkpoint;
  if (member === undefined && members.length > 1)
    throw unexpected(
      '--member',
      `a number from 0 to ${members.length - 1}: the run has ${members.length} networks`,
      'none',
    );
  const index = member ?? 0;
  if (index >= members.length) throw unexpected('--member', `a number from 0 to ${members.length - 1}`, String(member));
  const tensors = memberTensors(checkpoint, index, average);
  if (!tensors) throw unexpected('--average', 'nothing: the run keeps no moving average', 'true');
  return { tensors, checkpoint: path };
}

interface Row {
  name: string;
  dtype: string;
  shape: number[];
}

const columns: Column<{ type: string; tensors: number; values: number }>[] = [
  { heading: 'type', cell: ({ type }) => type },
  { heading: 'tensors', cell: ({ tensors }) => tensors.toLocaleString('en') },
  { heading: 'values', cell: ({ values }) => values.toLocaleString('en') },
];

function report(input: string, output: string, { tensors, checkpoint }: Source, { dtype, json }: Options): void {
  const isFloat = (type: string) => floatTypes.map(torchName).includes(type);
  const rows: Row[] = Array.from(tensors, ([name, tensor]) => {
    const type = torchName(tensor.dtype);
    return { name, dtype: isFloat(type) ? (dtype ?? type) : type, shape: [...tensor.shape] };
  });
  if (json) {
    const result = { input: resolve(input), checkpoint: checkpoint ?? null, output: resolve(output), tensors: rows };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } else {
    const types = [...new Set(rows.map((row) => row.dtype))].map((type) => {
      const own = rows.filter((row) => row.dtype === type);
      const values = own.reduce((sum, { shape }) => sum + shape.reduce((n, size) => n * size, 1), 0);
      return { type, tensors: own.length, values };
    });
    console.log(`\n${formatTable(columns, types)}\n`);
  }
  process.stderr.write(`written: ${output}\n`);
}
