/** `ptmz train` of every network, and of the cells of the published zoos: settings, saved runs, measures, refusals. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  digits,
  hessianTrace,
  loadRun,
  loadStateDict,
  prepareMLP,
  readStateDict,
  textFile,
  trainGPT2,
  trainMLP,
  trainPINN,
  trainViT,
  zoos,
  type DataSet,
  type Run,
  type Zoo,
} from 'ptmz-native';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addTrain } from '../lib/cli/commands/train.js';
import { longOf } from '../lib/cli/flags.js';
import { networkFlags } from '../lib/cli/networkFlags.js';
import { networks } from '../lib/cli/networks.js';
import { optimizerFlags, scheduleFlags, trainingFlags } from '../lib/cli/recipeFlags.js';
import { augmentFlags } from '../lib/cli/augmentFlags.js';
import { givenOptions } from '../lib/cli/options.js';
import { checkSettings } from '../lib/cli/trainOptions.js';
import { parseDataSpec } from '../lib/data/registry.js';
import { ptmz } from './support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-cli-networks-'));
const book = Array.from({ length: 60 }, (_, i) => `line ${(i * i) % 17} of a text, ${i % 5} words long\n`).join('');
beforeAll(() => writeFileSync(join(folder, 'book.txt'), book));
afterAll(() => rmSync(folder, { recursive: true }));

const few = ['--data', 'digits', '--train-samples', '60', '--test-samples', '30'];
const fewDigits = () => digits({ train: 60, test: 30 });

interface Case {
  args: string[];
  name: string;
  /** The same training through the API. */
  train(): Promise<Run>;
}

const cases: Case[] = [
  {
    args: [
      '--model',
      'vit',
      ...few,
      '--dim',
      '12',
      '--depth',
      '1',
      '--activation',
      'gelu',
      '--epochs',
      '2',
      '--seeds',
      '0',
      '3',
    ],
    name: 'vit-d12-p4-l1-h3-gelu-b64-digits',
    train: async () =>
      trainViT({
        ...{ dim: 12, depth: 1, activation: 'gelu', seeds: [0, 3], epochs: 2, batchSize: 64 },
        data: await fewDigits(),
      }),
  },
  {
    args: [
      ...['--model', 'gpt2', '--data', 'text:book.txt', '--block', '16', '--dim', '12', '--depth', '1', '--heads', '2'],
      ...['--no-tied', '--no-bias', '--epochs', '2', '--lr', '1e-3', '3e-3', '--seeds', '0', '0', '--average', '0.9'],
    ],
    name: 'gpt2-d12-l1-h2-nobias-untied-b64-book',
    train: async () => {
      const data = await textFile(join(folder, 'book.txt'), { block: 16 });
      const network = { dim: 12, depth: 1, heads: 2, tied: false, bias: false } as const;
      return trainGPT2({ ...network, data, lr: [1e-3, 3e-3], seeds: [0, 0], average: 0.9, epochs: 2, batchSize: 64 });
    },
  },
  {
    args: [
      ...['--model', 'pinn', '--beta', '1', '20', '--seeds', '0', '0', '--layers', '2', '8', '1', '--places', '24'],
      ...['--times', '6', '--collocation', '30', '--equation-weight', '0.5', '--epochs', '2', '--steps-per-epoch', '9'],
    ],
    name: 'convection-n2x8x1-c30-w0.5-x24-t6',
    train: () =>
      trainPINN({
        ...{ beta: [1, 20], seeds: [0, 0], layers: [2, 8, 1], places: 24, times: 6, collocation: 30, weight: 0.5 },
        ...{ epochs: 2, stepsPerEpoch: 9 },
      }),
  },
  {
    args: [
      ...[
        '--model',
        'mlp',
        ...few,
        '--hidden',
        '12',
        '6',
        '--activation',
        'tanh',
        '--optimizer',
        'adam',
        '--eps',
        '1e-6',
      ],
      ...[
        '--betas',
        '0.8',
        '0.99',
        '--schedule',
        'step',
        '--milestones',
        '0.25',
        '0.5',
        '--gamma',
        '0.3',
        '--clip',
        '0.5',
      ],
      ...['--label-smoothing', '0.1', '--accumulate', '2', '--batch-size', '20', '--epochs', '2', '--no-shuffle'],
      ...['--decay', 'matrices', '--weight-decay', '0.01'],
    ],
    name: 'mlp-h12x6-tanh-b20-digits',
    train: async () =>
      trainMLP({
        ...{ hidden: [12, 6], activation: 'tanh', data: await fewDigits(), lr: 1e-3, clip: 0.5, labelSmoothing: 0.1 },
        optimizer: { kind: 'adam', eps: 1e-6, betas: [0.8, 0.99], weightDecay: 0.01 },
        schedule: { kind: 'step', milestones: [0.25, 0.5], gamma: 0.3 },
        ...{ accumulate: 2, batchSize: 20, epochs: 2, shuffle: false, decay: 'matrices', seeds: [0] },
      }),
  },
  ...(
    [
      { equation: 'reaction', rho: [2, 5] },
      { equation: 'burgers', nu: [0.1] },
    ] as const
  ).map((choice) => {
    const [constant, values] = Object.entries(choice)[1] as [string, readonly number[]];
    const [layers, seeds] = [[2, 6, 1], values.map(() => 3)];
    const flags = {
      equation: [choice.equation],
      [constant]: values,
      seeds,
      layers,
      places: [12],
      times: [5],
      collocation: [20],
    };
    const { epochs, stepsPerEpoch } = { epochs: 1, stepsPerEpoch: 6 };
    return {
      args: [
        ...['--model', 'pinn', '--epochs', `${epochs}`, '--steps-per-epoch', `${stepsPerEpoch}`],
        ...Object.entries(flags).flatMap(([key, given]) => [`--${key}`, ...given.map(String)]),
      ],
      name: `${choice.equation}-n2x6x1-c20-x12-t5`,
      train: () =>
        trainPINN({ ...choice, seeds, layers, places: 12, times: 5, collocation: 20, epochs, stepsPerEpoch }),
    };
  }),
];

describe.each(cases)('$name', ({ args, name, train }) => {
  test('trains what the API trains, is opened without it, measured, and resumed', async () => {
    const half = await ptmz(folder, ['train', ...args, '--until', '1', '--json']);
    expect(half).toMatchObject({ code: 0, stderr: expect.stringContaining('stopped at step 1') as string });
    const { code, stdout } = await ptmz(folder, ['train', '--resume', `runs/${name}`, '--json']);
    const result = JSON.parse(stdout) as { finished: boolean; history: unknown[]; members: { seed: number }[] };
    using run = await train();
    expect(code).toBe(0);
    expect(result).toMatchObject({ finished: true, history: JSON.parse(JSON.stringify(run.history)) as unknown[] });
    expect(result.members.map(({ seed }) => seed)).toEqual(run.seeds);
    const data = /^(convection|reaction|burgers)-/.test(name) ? undefined : (run.data as DataSet);
    using loaded = await loadRun(join(folder, 'runs', name), { data });
    for (const m of run.seeds.keys()) expect(loaded.stateDict(m)).toEqual(run.stateDict(m));
    expect(loaded.settings).toEqual({ ...run.settings, model: loaded.model, data: loaded.data });
    const measured = await ptmz(folder, ['measure', `runs/${name}`, '--only', 'trace', '--probes', '2', '--json']);
    expect(measured.code).toBe(0);
    const { metrics } = JSON.parse(measured.stdout) as { metrics: { trace: { members: { trace: number }[] } } };
    expect(metrics.trace.members.map(({ trace }) => Number.isFinite(trace))).toEqual(run.seeds.map(() => true));
  }, 60_000);
});

test('tables show what counts for the kind: perplexity of text, error and evaluations of a problem', async () => {
  const rows = async (name: string) => {
    const { stdout, stderr } = await ptmz(folder, ['train', '--resume', `runs/${name}`]);
    return { lines: stdout.trim().split('\n'), stderr };
  };
  const text = await rows(cases[1]!.name);
  expect(text.lines[0]).toMatch(/^seed +lr +train loss +test loss +test ppl$/);
  const [, , , loss, perplexity] = text.lines[1]!.trim().split(/ +/).map(Number);
  expect(Math.exp(loss!) / perplexity!).toBeCloseTo(1, 2);
  expect(text.stderr).toMatch(/windows of 16 tokens, \d+ different/);
  const pinn = await rows(cases[2]!.name);
  expect(pinn.lines[0]).toMatch(/^seed +beta +lr +train loss +error +evaluations$/);
  expect(pinn.lines.slice(1).map((line) => line.trim().split(/ +/)[1])).toEqual(['1.00', '20.0']);
  const split = await ptmz(folder, ['measure', `runs/${cases[2]!.name}`, '--split', 'test']);
  expect(split).toMatchObject({ code: 1, stderr: expect.stringMatching(/train: convection.* for --split/) as string });
  const data = await ptmz(folder, ['measure', `runs/${cases[2]!.name}`, '--data', 'digits']);
  expect(data).toMatchObject({ code: 1, stderr: expect.stringMatching(/nothing: .* for --data.*digits/) as string });
}, 30_000);

describe('presets', () => {
  const axes = (zoo: Zoo<unknown>) => ({
    [zoo.load.option]: zoo.load.option === 'beta' ? [zoo.load.values[1]] : zoo.load.values[1],
    [zoo.temperature.option]: zoo.temperature.option === 'lr' ? [zoo.temperature.values[1]] : zoo.temperature.values[1],
  });

  test.each(Object.entries<Zoo<Record<string, unknown>>>(zoos))('%s is the recipe of its zoo', (preset, zoo) => {
    const { network, options } = checkSettings({ preset, ...axes(zoo) });
    const { weightDecay, ...recipe } = zoo.recipe;
    expect(network).toBe(zoo.network);
    expect(options).toMatchObject({ ...recipe, seeds: zoo.seeds });
    if (weightDecay !== undefined) expect(options['optimizer']).toEqual({ kind: 'sgd', weightDecay });
    for (const { option, values } of [zoo.load, zoo.temperature]) expect(options[option]).toBe(values[1]);
  });

  test('the flags override it, one by one', () => {
    const cell = { preset: 'cifar100ViT', dim: 24, batchSize: 128 };
    expect(
      checkSettings({ ...cell, weightDecay: [0.1], epochs: 3, seeds: [5], heads: 6, flip: 0.5 }).options,
    ).toMatchObject({
      ...{ dim: 24, heads: 6, batchSize: 128, epochs: 3, seeds: [5], lr: 6e-3, schedule: 'onecycle' },
      ...{
        optimizer: { kind: 'adamw', weightDecay: [0.1] },
        augment: { crop: { padding: 4 }, flip: 0.5, randAugment: {}, erase: {} },
      },
    });
    expect(checkSettings({ ...cell, optimizer: 'sgd', schedule: 'cosine', warmup: 5 }).options).toMatchObject({
      ...{ lr: 0.1, optimizer: { kind: 'sgd' }, schedule: { kind: 'cosine', warmup: 5 } },
    });
    const gpt2 = checkSettings({ preset: 'openWebTextGPT2', dim: 24, batchSize: 4, divFactor: 10, tied: true });
    expect(gpt2).toMatchObject({
      ...{ takes: 'text', block: 1024 },
      options: {
        ...{ tied: true, bias: false, heads: 12, decay: 'matrices', clip: 1 },
        optimizer: { kind: 'adamw', betas: [0.9, 0.95], weightDecay: 0.1 },
        schedule: { kind: 'onecycle', cycleMomentum: false, divFactor: 10 },
      },
    });
    const exact = checkSettings({ model: 'gpt2', optimizer: 'lbfgs', historySize: 7 });
    expect(exact.options).toMatchObject({
      ...{ lr: 1, schedule: 'constant', clip: undefined },
      optimizer: { kind: 'lbfgs', historySize: 7 },
    });
    const turned = checkSettings({ preset: 'svhnResNet18', width: 2, batchSize: 8, rotate: 5 });
    expect(turned.options['augment']).toEqual({ crop: { padding: 4 }, rotate: 5 });
    const more = checkSettings({ ...cell, brightness: 0.4, hue: 0.1, magnitude: 5, erase: 0.25 });
    expect(more.options['augment']).toEqual({
      ...{ crop: { padding: 4 }, jitter: { brightness: 0.4, hue: 0.1 } },
      ...{ randAugment: { magnitude: 5 }, erase: { probability: 0.25 } },
    });
    expect(checkSettings({ randAugment: 3, magnitude: 20 }).options['augment']).toEqual({
      randAugment: { operations: 3, magnitude: 20 },
    });
  });

  test('one from the command line', async () => {
    const args = ['--preset', 'cifar10ResNet18', '--width', '2', '--batch-size', '32', '--epochs', '1', '--json'];
    const { stdout } = await ptmz(folder, ['train', ...few, ...args]);
    const result = JSON.parse(stdout) as { settings: unknown };
    expect(result).toMatchObject({ model: 'resnet18-w2', data: { name: 'digits', train: 60, test: 30, classes: 10 } });
    expect(result.settings).toMatchObject({
      ...{ seeds: [0, 1, 2], lr: [0.1, 0.1, 0.1], schedule: 'onecycle', epochs: 1 },
      optimizer: { kind: 'sgd', weightDecay: [5e-4, 5e-4, 5e-4] },
    });
  }, 30_000);
});

describe('refused before any work', () => {
  test.each<[string[], RegExp]>([
    [['--model', 'gpt2', '--width', '4'], /nothing beside --model gpt2 for --width but received 4/],
    [['--model', 'vit', '--hidden', '4', '5'], /nothing beside --model vit for --hidden but received 4 5/],
    [['--dim', '4'], /nothing beside --model resnet18 for --dim/],
    [['--model', 'mlp', '--beta', '4'], /nothing beside --model mlp for --beta/],
    [['--model', 'pinn', '--rho', '4'], /nothing beside --equation convection for --rho but received 4/],
    [['--model', 'pinn', '--equation', 'burgers', '--beta', '4'], /nothing beside --equation burgers for --beta/],
    [['--model', 'pinn', '--equation', 'burgers', '--nu', '0'], /--nu/],
    [['--model', 'pinn', '--equation', 'heat'], /--equation.*'heat'.*convection, reaction, burgers/],
    [['--equation', 'burgers'], /nothing beside --model resnet18 for --equation/],
    [
      ['--model', 'pinn', '--equation', 'reaction', '--rho', '1', '2', '3'],
      /one value or 1, one per seed for --rho but received 3 values/,
    ],
    [['--model', 'vit', '--activation', 'tanh'], /one of relu, gelu for --activation but received 'tanh'/],
    [['--model', 'pinn'], /nothing beside --model pinn for --data but received digits/],
    [['--model', 'gpt2'], /text for --model gpt2 for --data but received images: digits/],
    [['--model', 'gpt2', '--flip', '0.5'], /nothing beside --model gpt2 for --flip/],
    [['--steps-per-epoch', '5'], /nothing beside --model resnet18 for --steps-per-epoch/],
    [['--betas', '0.9', '0.99'], /nothing beside --optimizer sgd for --betas but received 0.9 0.99/],
    [['--optimizer', 'adam', '--betas', '0.9'], /two numbers for --betas but received 1/],
    [['--milestones', '0.5'], /nothing beside --schedule onecycle for --milestones/],
    [['--schedule', 'constant', '--no-cycle-momentum'], /nothing beside --schedule constant for --no-cycle-momentum/],
    [['--preset', 'mnist'], /--preset.*'mnist'.*one of svhnResNet18, /],
    [
      ['--preset', 'cifar10ViT'],
      /one of 6, 12, .* beside --preset cifar10ViT, whose axis it is for --dim but received nothing/,
    ],
    [['--preset', 'cifar10ViT', '--dim', '6'], /for --batch-size but received nothing/],
    [['--preset', 'cifar10ViT', '--model', 'vit'], /nothing beside --preset cifar10ViT for --model/],
    [['--data', 'text:book.txt'], /images for --model resnet18 for --data but received text/],
    [['--block', '8'], /nothing: digits are images for block/],
    [['--data', 'text'], /text:FILE for data/],
    [['--model', 'gpt2', '--data', 'text:none.txt'], /none\.txt: no such file/],
    [['--model', 'gpt2', '--data', 'text:book.txt', '--block', '5000'], /block = 5000/],
    [['--model', 'gpt2', '--data', 'text:book.txt', '--train-samples', '5000'], /windows\.train.*5000/],
    [['--model', 'cnn'], /at least 20 x 20 for the small network/],
    [['--average', '1'], /\(0, 1\) for average/],
    [['--magnitude', '5'], /nothing without --rand-augment for --magnitude/],
    [['--hue', '0.6'], /--hue.*'0\.6'.*from 0 to 0\.5/],
    [['--model', 'pinn', '--erase', '0.5'], /nothing beside --model pinn for --erase/],
    [['--compat', 'torch'], /--compat.*'torch'/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await ptmz(folder, ['train', '--data', 'digits', '--out', 'refused', ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/training|\.js:\d/);
  });

  test('text that is no text', async () => {
    writeFileSync(join(folder, 'bytes.txt'), Uint8Array.of(0x61, 0xff, 0xfe));
    writeFileSync(join(folder, 'empty.txt'), '');
    const args = ['train', '--model', 'gpt2', '--data'];
    for (const [file, message] of [
      ['bytes', /bytes\.txt: it is not text in UTF-8/],
      ['empty', /empty\.txt: there is no text/],
    ] as const)
      expect(await ptmz(folder, [...args, `text:${file}.txt`])).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(message) as string,
      });
  });
});

describe('the tables of flags', () => {
  const tables = { ...networkFlags, ...trainingFlags, ...optimizerFlags, ...scheduleFlags, ...augmentFlags };

  test('keys are those that the flags give', () => {
    for (const [key, flag] of Object.entries(tables)) {
      const name = longOf(flag).replace(/^--(no-)?/, '');
      expect(name.replaceAll(/-[a-z]/g, (letter) => letter.slice(1).toUpperCase())).toBe(key);
    }
  });

  test('every network has flags that exist, and a help that names all', async () => {
    const known = new Set(Object.keys(networks));
    for (const { of } of Object.values(networkFlags)) for (const name of of!) expect(known).toContain(name);
    const { stdout } = await ptmz(folder, ['train', '--help']);
    for (const flag of Object.values(tables)) expect(stdout).toContain(`  ${longOf(flag)}`);
    for (const name of [...known, ...Object.keys(zoos)]) expect(stdout).toContain(`  ${name} `);
    for (const heading of ['Data:', 'Network:', 'Training:', 'Optimizer:', 'Schedule:', 'Examples:'])
      expect(stdout.split(`\n${heading}\n`)).toHaveLength(2);
  });
});

test('the moving average of the weights is converted and measured', async () => {
  const args = ['train', ...few, '--model', 'mlp', '--epochs', '3', '--batch-size', '20', '--seeds', '0', '1'];
  const settings = { hidden: [30, 15], batchSize: 20, epochs: 3, seeds: [0, 1], average: 0.8 };
  await ptmz(folder, [...args, '--average', '0.8', '--out', 'averaged']);
  await ptmz(folder, [...args, '--out', 'plain']);
  const data = await fewDigits();
  using run = await trainMLP({ ...settings, data });
  const average = run.stateDict(1, { average: true });
  expect(average).not.toEqual(run.stateDict(1));
  expect((await ptmz(folder, ['convert', 'averaged', 'average.pt', '--member', '1', '--average'])).code).toBe(0);
  const converted = readStateDict(join(folder, 'average.pt'));
  for (const [name, { data: values }] of Object.entries(average)) expect(converted.get(name)!.data).toEqual(values);
  expect([...converted.keys()]).toEqual(Object.keys(average));
  using fresh = prepareMLP({ ...settings, data });
  for (const m of [0, 1]) loadStateDict(fresh, m, run.stateDict(m, { average: true }));
  const trace = await hessianTrace(fresh, data.train, { probes: 3 });
  const measured = await ptmz(folder, [
    'measure',
    'averaged',
    '--only',
    'trace',
    '--probes',
    '3',
    '--average',
    '--json',
  ]);
  const { metrics, average: at } = JSON.parse(measured.stdout) as {
    average: boolean;
    metrics: { trace: { members: { trace: number }[] } };
  };
  expect([at, ...metrics.trace.members.map((member) => member.trace)]).toEqual([true, ...trace.trace]);
  for (const command of [
    ['convert', 'plain', 'none.pt', '--member', '0', '--average'],
    ['measure', 'plain', '--average'],
  ])
    expect(await ptmz(folder, command)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/the run keeps no moving average for --average/) as string,
    });
  expect(await ptmz(folder, ['convert', 'average.pt', 'none.pt', '--average'])).toMatchObject({ code: 1 });
}, 60_000);

describe('command lines that are shown to users are taken', () => {
  const shown = (text: string) => [...text.matchAll(/^ +(ptmz train .*?)(?: {2,}.*)?$/gm)].map(([, line]) => line!);
  const help = () => {
    const program = new Command();
    addTrain(program);
    return program.commands[0]!;
  };
  let text = '';
  help()
    .configureOutput({ writeOut: (part) => (text += part) })
    .outputHelp();
  const documents = readFileSync(new URL('../docs/training.md', import.meta.url), 'utf8');

  test('of the help and of docs/training.md', () => {
    const lines = [...shown(text), ...shown(documents)];
    expect(lines.length).toBeGreaterThan(15);
    for (const line of lines) {
      const command = help().exitOverride();
      command.action(() => {});
      command.parse(line.split(' ').slice(2), { from: 'user' });
      const given = givenOptions(command);
      if (given['resume'] === undefined) expect(() => checkSettings(given), line).not.toThrow();
      if (given['data'] !== undefined) expect(() => parseDataSpec(given['data'] as string), line).not.toThrow();
    }
  });
});

test('a run of a program without run.json is opened by its network and its text', async () => {
  rmSync(join(folder, 'runs', cases[1]!.name, 'run.json'));
  const args = ['measure', `runs/${cases[1]!.name}`, '--only', 'trace', '--probes', '2', '--samples', '9'];
  const missing = await ptmz(folder, args);
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('--data') as string });
  const wrong = await ptmz(folder, [...args, '--data', 'text:book.txt']);
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringMatching(/the run's data.train were/) as string });
  const found = await ptmz(folder, [...args, '--data', 'text:book.txt', '--block', '16']);
  expect(found).toMatchObject({ code: 0, stderr: expect.stringContaining('trace on 9 windows') as string });
  expect(readFileSync(join(folder, 'book.txt'), 'utf8')).toBe(book);
}, 30_000);
