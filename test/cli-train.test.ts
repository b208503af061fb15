/** `ptmz train`: a run from the command line, stopped by signals and resumed, and everything that it refuses. */
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digits, loadRun, trainResNet } from 'ptmz-native';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { listenForInterrupt } from '../lib/cli/interrupt.js';
import { createProgram } from '../lib/cli/program.js';
import { disk } from '../lib/formats/atomicFile.js';
import { ptmz } from './support/cli.js';
import { fillDisk } from './support/faults.mjs';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-cli-train-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => void vi.restoreAllMocks());

const small = ['train', '--data', 'digits', '--train-samples', '120', '--test-samples', '40', '--width', '2'];
const checkpoints = (directory: string) =>
  readdirSync(join(folder, directory))
    .filter((name) => name.startsWith('epoch-'))
    .sort();

/** SHA-256 of each file of the newest checkpoint that holds numbers. */
function numbersOf(directory: string): Record<string, string> {
  const path = join(folder, directory, checkpoints(directory).at(-1)!);
  const files = readdirSync(path).filter((name) => name.endsWith('.safetensors'));
  return Object.fromEntries(
    files.sort().map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(path, name)))
        .digest('hex'),
    ]),
  );
}

test('trains what the API trains, saves it, and prints it as a table or as one JSON document', async () => {
  const args = [...small, '--batch-size', '30', '--epochs', '2', '--seeds', '3', '4', '--lr', '0.1', '0.05'];
  const table = await ptmz(folder, args);
  expect(table).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/120 \+ 40 images of 1 x 8 x 8 in 10 classes/) as string,
  });
  const directory = 'runs/resnet18-w2-b30-digits';
  expect(table.stderr).toContain(`measure it with: ptmz measure ${directory}`);
  expect(checkpoints(directory)).toEqual(['epoch-000001-step-000000004', 'epoch-000002-step-000000008']);

  const json = await ptmz(folder, [...args, '--json', '--out', 'again']);
  const result = JSON.parse(json.stdout);
  const data = await digits({ train: 120, test: 40 });
  using run = await trainResNet({
    depth: 18,
    width: 2,
    data,
    batchSize: 30,
    epochs: 2,
    seeds: [3, 4],
    lr: [0.1, 0.05],
  });
  expect(result).toMatchObject({
    ...{ directory: join(folder, 'again'), model: 'resnet18-w2', parameters: run.parameterCount },
    ...{ data: { name: 'digits', train: 120, test: 40 }, step: 8, steps: 8, epoch: 2, finished: true },
    ...{ interrupted: false, warnings: [], history: run.history, checkpoint: expect.stringContaining('again/epoch-') },
  });
  const last = run.history.at(-1)!;
  expect(result.members[1]).toEqual({
    ...{ seed: 4, lr: 0.05, trainLoss: last.trainLoss[1], trainAccuracy: last.trainAccuracy[1] },
    ...{ testLoss: last.testLoss[1], testAccuracy: last.testAccuracy[1], divergedAt: null },
  });
  const lines = table.stdout.trim().split('\n');
  expect(lines).toHaveLength(3);
  const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
  expect(lines[2]!.trim().split(/ {3,}/)).toEqual([
    ...['4', '0.0500', last.trainLoss[1]!.toPrecision(4), percent(last.trainAccuracy[1]!)],
    ...[last.testLoss[1]!.toPrecision(4), percent(last.testAccuracy[1]!)],
  ]);
  using loaded = await loadRun(join(folder, 'again'), { data });
  expect(loaded.stateDict(1)['fc.weight']!.data).toEqual(run.stateDict(1)['fc.weight']!.data);
}, 60_000);

test('every setting reaches the run; a member that diverges is said to have', async () => {
  const { code, stdout, stderr } = await ptmz(folder, [
    ...[...small, '--model', 'resnet34', '--stem', 'imagenet', '--epochs', '1', '--seeds', '0', '1', '--json'],
    ...['--lr', '0.1', '1e300', '--weight-decay', '0.01', '--momentum', '0.8', '--nesterov', '--schedule', 'cosine'],
    ...[
      '--crop',
      '1',
      '--flip',
      '0.5',
      '--rotate',
      '10',
      '--dtype',
      'float64',
      '--evaluate-every',
      '2',
      '--out',
      'all',
    ],
    ...['--batch-size', '40', '--threads', '1', '--save-every', '2steps', '--keep', '3'],
  ]);
  const result = JSON.parse(stdout);
  expect(code).toBe(0);
  expect(result).toMatchObject({ model: 'resnet34-w2-imagenet', members: [{ divergedAt: null }, { lr: 1e300 }] });
  expect(result.members[1].divergedAt).toBeGreaterThanOrEqual(0);
  expect(stderr).toContain('done at step 3 of 3');
  expect(result.settings).toMatchObject({
    ...{ batchSize: 40, epochs: 1, seeds: [0, 1], lr: [0.1, 1e300], schedule: 'cosine', dtype: 'float64' },
    optimizer: { kind: 'sgd', momentum: 0.8, nesterov: true, weightDecay: [0.01, 0.01] },
    ...{ augment: { crop: { padding: 1 }, flip: 0.5, rotate: 10 }, evaluateEvery: 2 },
  });
  expect(checkpoints('all').map((name) => Number(name.slice(-9)))).toEqual([2, 3]);
  expect(JSON.parse(readFileSync(join(folder, 'all/run.json'), 'utf8'))).toMatchObject({
    ...{ data: { data: 'digits', trainSamples: 120, testSamples: 40 }, saveEvery: { steps: 2 }, keep: 3 },
  });
}, 60_000);

test('adamw has a rate and a decay of its own', async () => {
  const { stdout } = await ptmz(folder, [
    ...small,
    '--optimizer',
    'adamw',
    '--epochs',
    '1',
    '--out',
    'adamw',
    '--json',
  ]);
  expect(JSON.parse(stdout).settings).toMatchObject({ lr: [0.001], optimizer: { kind: 'adamw', weightDecay: [0.01] } });
});

describe('stopped and resumed', () => {
  const settings = [...small, '--batch-size', '4', '--epochs', '12', '--seeds', '0', '1'];

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    '%s saves, exits with %i, and says how to go on; that ends with the same bits',
    async (signal, code) => {
      if (!existsSync(join(folder, 'straight')))
        expect(await ptmz(folder, [...settings, '--out', 'straight'])).toMatchObject({ code: 0 });
      const out = `stopped by ${signal}`;
      let sent = false;
      const waiting = ptmz(folder, [...settings, '--out', out, '--save-every', '7steps', '--json'], (_, kill) => {
        if (sent) return;
        sent = true;
        // The data are being read; the first checkpoint says that the training is under way.
        const poll = setInterval(() => {
          if (!existsSync(join(folder, out)) || checkpoints(out).length === 0) return;
          clearInterval(poll);
          kill(signal);
        }, 2);
      });
      const stopped = await waiting;
      expect(stopped.code).toBe(code);
      const result = JSON.parse(stopped.stdout);
      expect(result).toMatchObject({ interrupted: true, finished: false });
      expect(checkpoints(out).at(-1)).toContain(`step-${String(result.step).padStart(9, '0')}`);
      expect(stopped.stderr).toContain('press Ctrl-C again');
      expect(stopped.stderr).toContain(`go on with: ptmz train --resume 'stopped by ${signal}'`);

      const resumed = await ptmz(folder, ['train', '--resume', out, '--json']);
      expect(resumed.code).toBe(0);
      expect(JSON.parse(resumed.stdout)).toMatchObject({ finished: true, step: 360 });
      expect(numbersOf(out)).toEqual(numbersOf('straight'));
      expect(JSON.parse(readFileSync(join(folder, out, 'run.json'), 'utf8')).saveEvery).toEqual({ steps: 7 });
    },
    90_000,
  );

  test('--until stops at its step; --data finds images that have moved; nothing is left to do at the end', async () => {
    const args = [...small, '--batch-size', '40', '--epochs', '2', '--out', 'until'];
    const first = await ptmz(folder, [...args, '--until', '2', '--json']);
    expect(first).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('go on with: ptmz train --resume until') as string,
    });
    expect(JSON.parse(first.stdout)).toMatchObject({ step: 2, finished: false, interrupted: false, history: [] });
    rmSync(join(folder, 'until/run.json'));
    const unknown = await ptmz(folder, ['train', '--resume', 'until', '--data', 'digits']);
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringMatching(/the run's data.train/) as string });
    const more = ['--train-samples', '120', '--test-samples', '40'];
    expect(await ptmz(folder, ['train', '--resume', 'until', '--data', 'digits', ...more])).toMatchObject({ code: 0 });
    const end = await ptmz(folder, ['train', '--resume', 'until', '--json']);
    expect(JSON.parse(end.stdout)).toMatchObject({ finished: true, step: 6, checkpoint: null });
  }, 60_000);

  test('a damaged checkpoint is passed over with a warning', async () => {
    const args = [...small, '--batch-size', '40', '--epochs', '2', '--out', 'damaged'];
    await ptmz(folder, args);
    const whole = numbersOf('damaged');
    writeFileSync(join(folder, 'damaged', checkpoints('damaged').at(-1)!, 'member-0.safetensors'), 'x');
    const { code, stdout, stderr } = await ptmz(folder, ['train', '--resume', 'damaged', '--json']);
    expect(code).toBe(0);
    expect(stderr).toMatch(/warning: .*member-0.safetensors.*going on from/);
    expect(JSON.parse(stdout).warnings).toHaveLength(1);
    expect(numbersOf('damaged')).toEqual(whole);
  }, 60_000);

  test('a signal while the images are read leaves nothing behind', async () => {
    const text = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const waiting = createProgram().parseAsync([...small, '--out', join(folder, 'early')], { from: 'user' });
    process.emit('SIGINT');
    await waiting;
    expect(process.exitCode).toBe(130);
    process.exitCode = undefined;
    expect(text.mock.calls.flat().join('')).toContain('stopped before the training began');
    expect(existsSync(join(folder, 'early'))).toBe(false);
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  describe('a full disk', () => {
    let free: () => void;
    let messages = '';
    /** Trains in this process; `onPause` is called when it says that it waits. */
    const trainOnFullDisk = (command: readonly string[], onPause: () => void) => {
      messages = '';
      free = fillDisk(disk);
      vi.spyOn(console, 'log').mockReturnValue();
      vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
        messages += String(text);
        if (String(text).startsWith('paused')) onPause();
        return true;
      });
      return createProgram().parseAsync(command, { from: 'user' });
    };
    const commands = (name: string) => [
      [...small, '--epochs', '1', '--out', join(folder, `train ${name}`)],
      [
        ...['quickstart', '--data', 'digits', '--train-samples', '120', '--epochs', '1', '--widths', '2'],
        ...['--batch-sizes', '60', '--seeds', '0', '--out', join(folder, `quickstart ${name}`)],
      ],
    ];
    afterEach(() => {
      free();
      process.exitCode = undefined;
    });

    test.each(commands('pauses'))('pauses %s, which says so and goes on', async (...command) => {
      await trainOnFullDisk(command, () => free());
      expect(messages).toMatch(/paused: .*no space left in open[^]*Ctrl-C ends it\n[^]*done/);
      expect(process.exitCode).toBeUndefined();
    });

    test.each(commands('ends'))(
      'ends %s at a signal with DISK_FULL and the exit code of the signal',
      async (...command) => {
        const ended = trainOnFullDisk(command, () => void process.emit('SIGTERM'));
        await expect(ended).rejects.toMatchObject({ code: 'DISK_FULL' });
        expect(process.exitCode).toBe(143);
        expect(process.listenerCount('SIGTERM')).toBe(0);
      },
    );
  });

  test('the second signal ends the process at once; its echo through npx does not', () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    const clock = vi.spyOn(performance, 'now').mockReturnValue(1000);
    const onFirst = vi.fn();
    const interrupt = listenForInterrupt(onFirst);
    expect(interrupt.exitCode).toBeUndefined();
    process.emit('SIGTERM');
    expect([interrupt.exitCode, interrupt.signal.aborted]).toEqual([143, true]);
    clock.mockReturnValue(1050);
    process.emit('SIGTERM');
    expect(exit).not.toHaveBeenCalled();
    expect(onFirst).toHaveBeenCalledTimes(1);
    clock.mockReturnValue(1400);
    process.emit('SIGINT');
    expect(exit).toHaveBeenCalledWith(143);
    interrupt[Symbol.dispose]();
    process.exitCode = undefined;
  });
});

test('images of a folder keep their size, and are asked for where they have moved', async () => {
  const images = fileURLToPath(new URL('./fixtures/images', import.meta.url));
  for (const [name, file] of [
    ['a', 'rgb.png'],
    ['b', 'rgba.png'],
  ] as const) {
    mkdirSync(join(folder, 'photos/train', name), { recursive: true });
    cpSync(join(images, file), join(folder, 'photos/train', name, file));
  }
  const args = ['train', '--data', 'image-folder:photos', '--image-size', '8', '--width', '2', '--epochs', '2'];
  const { code, stderr } = await ptmz(folder, [...args, '--until', '1', '--batch-size', '2']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/2 images of 3 x 8 x 8 in 2 classes/) });
  const out = 'runs/resnet18-w2-b2-photos';
  expect(JSON.parse(readFileSync(join(folder, out, 'run.json'), 'utf8')).data).toEqual({
    ...{ data: `image-folder:${join(folder, 'photos')}`, imageSize: 8 },
  });
  renameSync(join(folder, 'photos'), join(folder, 'moved'));
  const lost = await ptmz(folder, ['train', '--resume', out]);
  expect(lost).toMatchObject({ code: 1, stderr: expect.stringMatching(/photos.*\n.*--data/) as string });
  const found = await ptmz(folder, ['train', '--resume', out, '--data', 'image-folder:moved', '--json']);
  expect(JSON.parse(found.stdout)).toMatchObject({ finished: true, step: 2 });
}, 60_000);

describe('refused before any work, with exit code 1', () => {
  test.each([
    [['--model', 'vgg'], /--model.*'vgg'.*resnet18, resnet34, resnet50/],
    [['--width', '0'], /--width.*'0'.*integer from 1/],
    [['--epochs', '1.5'], /--epochs.*'1.5'/],
    [['--seeds', '0', '-1'], /-1/],
    [['--lr', 'fast'], /--lr.*'fast'.*number >= 0/],
    [['--lr', '1', '2'], /one value or 1, one per seed for --lr but received 2 values/],
    [['--weight-decay', '1', '2'], /--weight-decay/],
    [['--optimizer', 'lion'], /--optimizer.*'lion'/],
    [['--optimizer', 'adamw', '--momentum', '0.9'], /--momentum/],
    [['--optimizer', 'adamw', '--nesterov'], /--nesterov/],
    [['--schedule', 'linear'], /--schedule.*'linear'/],
    [['--flip', '2'], /--flip.*'2'.*from 0 to 1/],
    [['--rotate', ''], /--rotate/],
    [['--dtype', 'int8'], /--dtype.*'int8'/],
    [['--save-every', '3days'], /--save-every.*'3days'.*100steps/],
    [['--save-every', '0'], /--save-every.*'0'/],
    [['--keep', '0'], /--keep.*'0'/],
    [['--until', 'noon'], /--until.*'noon'/],
    [['--image-size', '8'], /size/],
    [['--train-samples', '2000'], /train.*2000/],
    [['--data', 'mnist'], /'mnist'/],
    [['--data', 'cifar10:nowhere'], /nowhere: no CIFAR-10 there/],
    [['--out', 'file/below'], /file/],
    [['extra'], /extra|too many arguments/],
    [['--no-such'], /--no-such/],
  ])('%j', async (args, message) => {
    writeFileSync(join(folder, 'file'), '');
    const { code, stdout, stderr } = await ptmz(folder, [
      'train',
      '--data',
      'digits',
      '--out',
      'refused',
      '--width',
      '2',
      ...args,
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/training|\.js:\d/);
    expect(existsSync(join(folder, 'refused'))).toBe(false);
  });

  test('no data set', async () => {
    const { code, stderr } = await ptmz(folder, ['train']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/--data/) });
  });

  test('a directory of another run, and settings beside --resume', async () => {
    const args = [...small, '--epochs', '1', '--out', 'taken'];
    await ptmz(folder, args);
    const kept = numbersOf('taken');
    const other = await ptmz(folder, [...args, '--seeds', '9']);
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/taken holds checkpoints of another run\n.*ptmz train --resume taken/) as string,
    });
    const again = await ptmz(folder, args);
    expect(again).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('taken holds step 2 of this run') as string,
    });
    expect(numbersOf('taken')).toEqual(kept);
    for (const beside of [['--epochs', '5'], ['--out', 'x'], ['--nesterov'], ['--seeds', '1']]) {
      const { code, stderr } = await ptmz(folder, ['train', '--resume', 'taken', ...beside]);
      expect(code).toBe(1);
      expect(stderr).toMatch(new RegExp(`Expected nothing beside --resume.* for ${beside[0]}`));
    }
    const missing = await ptmz(folder, ['train', '--resume', 'nowhere']);
    expect(missing).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nowhere: expected checkpoints') as string,
    });
    writeFileSync(join(folder, 'taken/run.json'), '{"format":"ptmz-run","version":1}');
    const damaged = await ptmz(folder, ['train', '--resume', 'taken']);
    expect(damaged).toMatchObject({ code: 1, stderr: expect.stringMatching(/run\.json.*data.*\n.*--data/) as string });
  }, 60_000);
});
