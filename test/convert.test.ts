/** `ptmz convert`, and state dicts of other programs in runs: torchvision's networks give the losses that PyTorch gives. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  arrays,
  digits,
  evaluate,
  loadRun,
  loadStateDict,
  prepare,
  readStateDict,
  resnet,
  writeStateDict,
  writeTorch,
  type Run,
} from 'ptmz-native';
import { afterAll, describe, expect, test } from 'vitest';
import { selectMembers } from '../lib/train/subset.js';
import { ptmz } from './support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-convert-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

async function small(seeds: number[]): Promise<Run> {
  const data = await digits({ train: 60, test: 20 });
  const model = resnet({ depth: 18, width: 2, input: [1, 8, 8], classes: 10 });
  return prepare({ model, data, batchSize: 30, epochs: 1, seeds });
}
const bits = (state: ReturnType<Run['stateDict']>) =>
  Object.entries(state).map(([name, { data }]) => [name, [...data]]);

describe('ptmz convert', () => {
  test('from format to format and back, number for number', async () => {
    const state = { w: { dtype: 'float32', shape: [2], data: Float32Array.of(0.1, -2) } };
    writeTorch(at('a.pt'), { state_dict: { 'module.w': state.w } });
    const chain = ['a.pt', 'b.safetensors', 'c', 'd.pth'];
    for (let i = 1; i < chain.length; i++) {
      const { code, stdout, stderr } = await ptmz(folder, ['convert', chain[i - 1]!, chain[i]!]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: `written: ${chain[i]}\n` });
      expect(stdout).toMatch(/float32 +1 +2/);
    }
    expect(existsSync(at('c/w.npy'))).toBe(true);
    expect(readStateDict(at('d.pth')).get('w')!.data).toEqual(state.w.data);
  });

  test('a member of a run, as JSON, in half the size', async () => {
    using run = await small([3, 4]);
    await run.train({ saveTo: at('run') });
    const { code, stdout } = await ptmz(folder, 'convert run m.pt --member 1 --dtype bfloat16 --json'.split(' '));
    expect(code).toBe(0);
    const { tensors, checkpoint } = JSON.parse(stdout) as { tensors: { name: string }[]; checkpoint: string };
    expect(tensors).toContainEqual({ name: 'fc.weight', dtype: 'bfloat16', shape: [10, 16] });
    expect(tensors).toContainEqual({ name: 'bn1.num_batches_tracked', dtype: 'int64', shape: [] });
    expect(checkpoint).toContain('epoch-000001');
    const half = readStateDict(at('m.pt')).get('fc.weight')!;
    const bits = new Uint32Array((run.stateDict(1)['fc.weight']!.data as Float32Array).buffer);
    expect(Number(half.data[0])).toBeCloseTo(bits[0]! / 65536, 0);
  });

  test.each<[string, string, RegExp]>([
    ['run x.pt', 'a number of no member', /Expected a number from 0 to 1: the run has 2 networks for --member/],
    ['run x.pt --member 2', 'a member too many', /from 0 to 1 for --member but received 2/],
    ['a.pt x.pt --member 0', 'a member of a file', /nothing beside a file for --member/],
    ['a.pt x.txt', 'an unknown extension', /\.safetensors or no extension for <out> but received '\.txt'/],
    ['a.pt b.safetensors', 'a file that exists', /b\.safetensors: there is something of that name[^]*--force/],
    ['a.pt c', 'a folder that exists', /c: there is something of that name/],
    ['a.pt a.pt --force', 'the same file', /another place than <in>/],
    ['none.pt x.pt', 'no file', /none\.pt could not be read/],
    ['a.pt x --dtype bfloat16', 'a type that NumPy lacks', /NumPy has no type for BF16/],
    ['.. x.pt', 'a folder without anything', /expected checkpoints/],
  ])('%s: %s', async (args, _, message) => {
    const { code, stderr } = await ptmz(folder, ['convert', ...args.split(' ')]);
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
    expect(['x', 'x.pt', 'x.txt'].some((name) => existsSync(at(name)))).toBe(false);
  });

  test('--force replaces a file; a hostile one is refused by name', async () => {
    writeFileSync(at('old.safetensors'), 'x');
    expect((await ptmz(folder, ['convert', 'a.pt', 'old.safetensors', '--force'])).code).toBe(0);
    expect(readStateDict(at('old.safetensors')).size).toBe(1);
    const evil = Buffer.from('\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.', 'latin1');
    writeFileSync(at('evil.pt'), evil);
    const { stderr } = await ptmz(folder, ['convert', 'evil.pt', 'y.pt']);
    expect(stderr).toMatch(/evil\.pt: byte 2 \(GLOBAL\): the pickle names posix\.system.*nothing was run/);
  });
});

describe('loadStateDict', () => {
  test('a member becomes equal to another one, whatever the type of the file', async () => {
    using run = await small([0, 1]);
    writeStateDict(at('seed0.pt'), run.stateDict(0));
    loadStateDict(run, 1, readStateDict(at('seed0.pt')));
    expect(bits(run.stateDict(1))).toEqual(bits(run.stateDict(0)));
    writeStateDict(at('seed0.safetensors'), run.stateDict(0), { dtype: 'F16' });
    loadStateDict(run, 1, readStateDict(at('seed0.safetensors')));
    const [half, full] = [1, 0].map((m) => run.stateDict(m)['fc.weight']!.data as Float32Array);
    expect(Math.max(...half!.map((x, i) => Math.abs(x - full![i]!)))).toBeLessThan(2 ** -11);
  });

  test('all that does not fit is listed, and the run is as before', async () => {
    using run = await small([0]);
    const before = bits(run.stateDict(0));
    const { 'fc.weight': _, ...state } = run.stateDict(0);
    const wrong = {
      ...state,
      'fc.bias': { dtype: 'float32', shape: [5], data: new Float32Array(5) },
      'bn1.weight': { dtype: 'int64', shape: [2], data: new BigInt64Array(2) },
      head: { dtype: 'float32', shape: [], data: new Float32Array(1) },
    };
    expect(() => loadStateDict(run, 0, wrong)).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: expect.stringMatching(
          /'bn1.weight' holds I64.*'fc.weight' \[10,16\] is missing.*'fc.bias' has the shape \[5\].*'head' is unknown/,
        ) as string,
      }),
    );
    expect(bits(run.stateDict(0))).toEqual(before);
    await run.train();
    expect(() => loadStateDict(run, 0, state)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  test('ptmz train --weights begins with them', async () => {
    const args = 'train --data digits --train-samples 60 --test-samples 20 --width 2 --epochs 1 --lr 0 --json'.split(
      ' ',
    );
    using run = await small([0]);
    writeStateDict(at('first.pt'), run.stateDict(0));
    const { code, stderr } = await ptmz(folder, [...args, '--weights', 'first.pt', '--out', 'tuned', '--seeds', '7']);
    expect(stderr).toContain('saved: ');
    expect(code).toBe(0);
    await ptmz(folder, ['convert', 'tuned', 'tuned.safetensors']);
    const weight = readStateDict(at('tuned.safetensors')).get('conv1.weight')!.data;
    expect(weight).toEqual(run.stateDict(0)['conv1.weight']!.data);
    const wrong = await ptmz(folder, [...args, '--weights', 'a.pt', '--out', 'wrong']);
    expect(wrong.stderr).toMatch(/state does not fit resnet18-w2.*'w' is unknown|and \d+ more/);
    expect(wrong.code).toBe(1);
  });

  test('a run that began with other weights is another run', async () => {
    const directory = at('weights');
    using first = await small([0, 1]);
    loadStateDict(first, 1, first.stateDict(0));
    const sha256 = first.settings.weights![1]!;
    expect(first.settings.weights).toEqual([null, expect.stringMatching(/^[0-9a-f]{64}$/)]);
    await first.train({ until: 1, saveTo: directory });
    using plain = await small([0, 1]);
    const refused = expect.objectContaining({ code: 'CHECKPOINT_MISMATCH' }) as Error;
    expect(plain.settings).not.toHaveProperty('weights');
    await expect(plain.train({ saveTo: directory })).rejects.toThrow(refused);
    using other = await small([0, 1]);
    loadStateDict(other, 1, (await small([5])).stateDict(0));
    await expect(other.train({ saveTo: directory })).rejects.toThrow(refused);
    using same = await loadRun(directory);
    expect(same.settings.weights).toEqual([null, sha256]);
    await same.train({ saveTo: directory });
    await first.train();
    expect(bits(same.stateDict(1))).toEqual(bits(first.stateDict(1)));
    // The numbers count, not the file that they came from.
    using again = await small([0, 1]);
    writeStateDict(at('same.safetensors'), again.stateDict(0));
    loadStateDict(again, 1, readStateDict(at('same.safetensors')));
    expect(again.settings.weights).toEqual([null, sha256]);
    using part = selectMembers(same, [1]);
    expect(part.settings.weights).toEqual([sha256]);
  });

  test('ptmz train: the same line with other weights does not go on', async () => {
    const args =
      'train --data digits --train-samples 60 --test-samples 20 --width 2 --epochs 2 --out other --until 1'.split(' ');
    using run = await small([3, 4]);
    writeStateDict(at('three.pt'), run.stateDict(0));
    writeStateDict(at('four.pt'), run.stateDict(1));
    expect(await ptmz(folder, [...args, '--weights', 'three.pt'])).toMatchObject({ code: 0 });
    for (const more of [[], ['--weights', 'four.pt']]) {
      const { code, stderr } = await ptmz(folder, [...args, ...more]);
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: expect.stringMatching(/other holds checkpoints of another run/),
      });
    }
    expect(await ptmz(folder, ['train', '--resume', 'other'])).toMatchObject({ code: 0 });
    const beside = await ptmz(folder, ['train', '--resume', 'other', '--weights', 'four.pt']);
    expect(beside).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/nothing beside --resume.*--weights/) as string,
    });
  }, 30_000);

  const python = process.env.PTMZ_PYTHON;
  test.skipIf(!python)(
    'torchvision and this package load each other and give one loss (needs PTMZ_PYTHON)',
    async () => {
      const images = Float32Array.from({ length: 4 * 3 * 32 * 32 }, (_, i) => Math.sin(i * 0.37));
      const normalise = { mean: [0, 0, 0], std: [1, 1, 1] };
      const data = arrays({ images, shape: [4, 3, 32, 32], labels: [1, 0, 7, 9], classes: 10, normalise });
      const model = resnet({ depth: 18, width: 64, input: [3, 32, 32], classes: 10, stem: 'imagenet' });
      using run = prepare({ model, data, batchSize: 4, epochs: 1, seeds: [0] });
      writeStateDict(at('ours.pt'), run.stateDict(0));
      const script = `
import sys, torch
# A torchvision that was built for another PyTorch lacks its detection operators; no network here needs them.
torch.library.register_fake = lambda *_, **__: lambda function: function
import torchvision
model = torchvision.models.resnet18(num_classes=10).eval()
x = torch.sin(torch.arange(4 * 3 * 32 * 32, dtype=torch.float64) * 0.37).float().reshape(4, 3, 32, 32)
loss = lambda: torch.nn.functional.cross_entropy(model(x), torch.tensor([1, 0, 7, 9])).item()
torch.manual_seed(1)
with torch.no_grad():
    for b in model.modules():
        if isinstance(b, torch.nn.BatchNorm2d):
            b.running_mean.normal_(0, .1); b.running_var.uniform_(.5, 2); b.weight.uniform_(.5, 1.5)
    torch.save(model.state_dict(), sys.argv[2])
    theirs = loss()
    model.load_state_dict(torch.load(sys.argv[1], weights_only=True), strict=True)
    print(loss(), theirs)
`;
      const { stdout, stderr } = spawnSync(python!, ['-c', script, at('ours.pt'), at('theirs.pt')], {
        encoding: 'utf8',
      });
      expect(stderr).not.toMatch(/Error/);
      const [ours, theirs] = stdout.trim().split(' ').map(Number);
      expect((await evaluate(run, data.train)).loss[0]).toBeCloseTo(ours!, 5);
      loadStateDict(run, 0, readStateDict(at('theirs.pt')));
      expect((await evaluate(run, data.train)).loss[0]).toBeCloseTo(theirs!, 5);
      expect(readFileSync(at('theirs.pt')).length).toBeGreaterThan(4e7);
    },
  );
});
