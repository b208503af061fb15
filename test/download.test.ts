/** Downloads from a server on this machine that redirects, breaks off, lies and stalls; unpacking; tokens of texts. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { downloadData, tokenise, tokens, type PtmzError } from 'ptmz-native';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { downloadFile, type DownloadProgress } from '../lib/data/download.js';
import { downloadSet, type DownloadDataProgress } from '../lib/data/downloadData.js';
import { downloads, type Download } from '../lib/data/downloads.js';
import { dataSources, parseDataSpec } from '../lib/data/registry.js';
import { piecesOf } from '../lib/data/textDocuments.js';
import { loadTokeniser } from '../lib/data/tokenise.js';
import { ptmz } from './support/cli.js';

const root = mkdtempSync(join(tmpdir(), 'ptmz-download-'));
const content = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 5));
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');
const code = (value: PtmzError['code']) => expect.objectContaining({ code: value }) as Error;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
let server: Server;
let base: string;
let answers: Record<string, Answer> = {};
let asked: string[] = [];
let folder: string;
let folders = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.range ?? ''}`.trim());
    const answer = answers[request.url!];
    if (answer) answer(request, response);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  answers = { '/file': whole(content) };
  asked = [];
  folder = join(root, `set${folders++}`);
});

/** A server that can go on in the middle. */
const whole =
  (bytes: Uint8Array): Answer =>
  ({ headers }, response) => {
    const begin = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    if (begin > 0 && begin >= bytes.length) return void response.writeHead(416).end();
    const part = bytes.subarray(begin);
    const range = begin > 0 ? { 'content-range': `bytes ${begin}-${bytes.length - 1}/${bytes.length}` } : {};
    response.writeHead(begin > 0 ? 206 : 200, { 'content-length': part.length, ...range }).end(part);
  };
/** The first time the connection breaks after so many bytes. */
const breaking = (after: number): Answer => {
  let times = 0;
  return (request, response) => {
    if (times++ > 0) return whole(content)(request, response);
    response.writeHead(200, { 'content-length': content.length });
    response.write(content.subarray(0, after), () => response.socket!.end());
  };
};
const target = () => join(folder, 'file');
const get = (options: Parameters<typeof downloadFile>[2] = {}, more: Partial<Download['files'][0]> = {}) =>
  downloadFile({ name: 'file', urls: [`${base}/file`], md5: md5(content), ...more }, target(), {
    pause: 1,
    ...options,
  });
const withPart = (bytes: Uint8Array) => {
  mkdirSync(folder);
  writeFileSync(`${target()}.part`, bytes);
};

describe('downloadFile', () => {
  test('a file, with progress, once', async () => {
    const seen: DownloadProgress[] = [];
    expect(await get({ onProgress: (p) => seen.push(p) })).toEqual({ present: false });
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(readdirSync(folder)).toEqual(['file']);
    expect(seen.at(-1)).toEqual({ file: 'file', received: 300_000, total: 300_000 });
    expect(await get()).toEqual({ present: true });
    expect(asked).toEqual(['/file']);
  });

  test('a broken connection is gone on with where it broke', async () => {
    answers['/file'] = breaking(100_000);
    await get();
    expect(readFileSync(target()).equals(content)).toBe(true);
    expect(asked).toHaveLength(2);
    expect(asked[1]).toMatch(/^\/file bytes=\d+-$/);
  });

  test('an earlier part is gone on with; a server that cannot do so sends all', async () => {
    withPart(content.subarray(0, 12_345));
    await get();
    expect(asked).toEqual(['/file bytes=12345-']);
    rmSync(target());
    writeFileSync(`${target()}.part`, content.subarray(0, 12_345));
    answers['/file'] = (_, response) => response.writeHead(200).end(content);
    await get();
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a part that is another file, too long, or whole', async () => {
    withPart(Buffer.alloc(5000, 1));
    await get();
    expect(asked).toEqual(['/file bytes=5000-', '/file']);
    rmSync(target());
    writeFileSync(`${target()}.part`, Buffer.concat([content, content]));
    await get();
    rmSync(target());
    writeFileSync(`${target()}.part`, content);
    await get();
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a range that was not asked for is not taken', async () => {
    withPart(content.subarray(0, 1000));
    answers['/file'] = ({ headers }, response) =>
      headers.range === undefined
        ? response.writeHead(200).end(content)
        : response
            .writeHead(206, { 'content-range': `bytes 500-${content.length - 1}/300000` })
            .end(content.subarray(500));
    await get();
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('redirects are followed, also where a part is there', async () => {
    answers['/old'] = (_, response) => response.writeHead(302, { location: '/file' }).end();
    withPart(content.subarray(0, 10));
    await get({}, { urls: [`${base}/old`] });
    expect(asked).toEqual(['/old bytes=10-', '/file bytes=10-']);
  });

  test('a wrong checksum: nothing is left, and a file that is there is not touched', async () => {
    answers['/file'] = whole(Buffer.from('an error page'));
    await expect(get()).rejects.toThrow(code('CHECKSUM_MISMATCH'));
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(target(), 'mine');
    await expect(get()).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
      message: expect.stringContaining(target()) as string,
    });
    expect(readFileSync(target(), 'utf8')).toBe('mine');
  });

  test('a server that fails at first, one that never has it, and another that does', async () => {
    let times = 0;
    answers['/file'] = (request, response) =>
      times++ < 2 ? response.writeHead(503).end() : whole(content)(request, response);
    await get();
    expect(times).toBe(3);
    rmSync(target());
    asked = [];
    await get({}, { urls: [`${base}/none`, `${base}/file`] });
    expect(asked).toEqual(['/none', '/file']);
    rmSync(target());
    const error = (await get({}, { urls: [`${base}/none`] }).catch((e: unknown) => e)) as PtmzError;
    expect(error).toMatchObject({ code: 'IO_ERROR', message: `${base}/none: the server says 404 Not Found` });
    answers['/file'] = (_, response) => response.writeHead(416).end();
    await expect(get()).rejects.toThrow(/says 416/);
    answers['/file'] = (_, response) => response.writeHead(500).end();
    asked = [];
    await expect(get()).rejects.toThrow(/says 500/);
    expect(asked).toHaveLength(6);
  });

  test('a server that sends nothing more, and one that is not there', async () => {
    answers['/file'] = (_, response) => void response.writeHead(200, { 'content-length': 9 }).write('x');
    await expect(get({ patience: 60 })).rejects.toMatchObject({
      code: 'IO_ERROR',
      message: expect.stringContaining('nothing came for too long') as string,
    });
    const nobody = createServer();
    await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve));
    const { port } = nobody.address() as AddressInfo;
    await new Promise((resolve) => nobody.close(resolve));
    await expect(get({}, { urls: [`http://127.0.0.1:${port}/file`] })).rejects.toThrow(/ECONNREFUSED/);
  });

  test('stopped: the reason, and the part that the next one goes on from', async () => {
    const controller = new AbortController();
    answers['/file'] = (_, response) => {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 50_000));
    };
    const stopped = get({ signal: controller.signal, onProgress: () => controller.abort('enough') });
    await expect(stopped).rejects.toBe('enough');
    expect(readFileSync(`${target()}.part`).length).toBeGreaterThan(0);
    answers['/file'] = whole(content);
    await get();
    expect(asked[1]).toMatch(/bytes=\d+-/);
    expect(readFileSync(target()).equals(content)).toBe(true);
  });

  test('a folder that cannot be', async () => {
    writeFileSync(folder, 'a file');
    await expect(get()).rejects.toThrow(code('NOT_WRITABLE'));
  });
});

describe('archives', () => {
  const files = { 'a.bin': content.subarray(0, 100_000), 'b.txt': Buffer.from('text') };
  /** What the system's tar makes of them, with a file that is not asked for. */
  function tar(): Buffer {
    const source = mkdtempSync(join(root, 'tar-'));
    mkdirSync(join(source, 'set'));
    for (const [name, bytes] of Object.entries({ ...files, 'huge.bin': Buffer.alloc(70_000) }))
      writeFileSync(join(source, 'set', name), bytes);
    const { status, stderr } = spawnSync('tar', ['-czf', 'set.tar.gz', 'set'], { cwd: source, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return readFileSync(join(source, 'set.tar.gz'));
  }
  const set = (bytes: Uint8Array, kind: 'tar.gz' | 'zip' = 'tar.gz', wanted = Object.keys(files)): Download => {
    answers['/set'] = whole(bytes);
    return {
      title: 'Set',
      files: [{ name: `set.${kind}`, urls: [`${base}/set`], md5: md5(bytes) }],
      archive: {
        kind,
        folder: 'set',
        files: Object.fromEntries(
          wanted.map((name) => [name, name in files ? md5(files[name as 'a.bin']) : undefined]),
        ),
      },
      spec: (dir) => `image-folder:${dir}`,
    };
  };

  test('the files that are asked for, and nothing else; once', async () => {
    const download = set(tar());
    const seen: DownloadDataProgress[] = [];
    const done = await downloadSet(download, folder, { onProgress: (p) => seen.push(p) });
    expect(done).toEqual({ spec: `image-folder:${folder}`, dir: folder, present: false });
    expect(readdirSync(folder)).toEqual(['set']);
    expect(readdirSync(join(folder, 'set')).sort()).toEqual(['a.bin', 'b.txt']);
    expect(readFileSync(join(folder, 'set/a.bin')).equals(files['a.bin'])).toBe(true);
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['downloading', 'unpacking']));
    expect(await downloadSet(download, folder)).toMatchObject({ present: true });
    expect(asked).toEqual(['/set']);
    // A damaged file is not what was published: it comes anew.
    writeFileSync(join(folder, 'set/b.txt'), 'test');
    await downloadSet(download, folder, { keepArchive: true });
    expect(readFileSync(join(folder, 'set/b.txt'), 'utf8')).toBe('text');
    expect(readdirSync(folder).sort()).toEqual(['set', 'set.tar.gz']);
  });

  test('a zip archive; names that leave the folder are refused', async () => {
    const zip = (names: Record<string, Uint8Array>) => zipSync({ 'set/wnids.txt': Buffer.from('n01\n'), ...names });
    await downloadSet(set(zip({ 'set/train/n01/x.JPEG': content, 'other/y': content }), 'zip', ['wnids.txt']), folder);
    expect(readFileSync(join(folder, 'set/train/n01/x.JPEG')).equals(content)).toBe(true);
    expect(readdirSync(folder)).toEqual(['set']);
    const evil = set(zip({ 'set/../../evil': content }), 'zip', ['wnids.txt', 'more.txt']);
    await expect(downloadSet(evil, folder)).rejects.toThrow(code('DATA_MALFORMED'));
    expect(existsSync(join(root, 'evil'))).toBe(false);
    expect(readdirSync(folder).sort()).toEqual(['set', 'set.zip']);
  });

  test.each<[string, PtmzError['code'], () => Uint8Array]>([
    ['a file that is missing', 'DATA_MALFORMED', () => gzipSync(Buffer.alloc(1024))],
    ['no archive', 'DATA_MALFORMED', () => Buffer.from('x'.repeat(600))],
    ['nothing', 'TRUNCATED', () => Buffer.alloc(0)],
    ['a damaged header', 'DATA_MALFORMED', () => gzipSync(Buffer.alloc(1024, 1))],
    ['a cut one', 'TRUNCATED', () => gzipSync(Buffer.alloc(100, 1))],
  ])('%s: %s, and nothing is unpacked', async (_, expected, make) => {
    await expect(downloadSet(set(make()), folder)).rejects.toThrow(code(expected));
    expect(readdirSync(folder)).toEqual(['set.tar.gz']);
  });

  test('stopped while it is unpacked: nothing is left but the archive', async () => {
    const controller = new AbortController();
    const onProgress = ({ phase }: DownloadDataProgress) => phase === 'unpacking' && controller.abort('enough');
    const done = downloadSet(set(tar()), folder, { signal: controller.signal, onProgress });
    await expect(done).rejects.toBe('enough');
    expect(readdirSync(folder)).toEqual(['set.tar.gz']);
  });
});

describe('the list of downloads', () => {
  test.each(Object.entries(downloads))('%s can be read once it is there', (_, { files, archive, spec }) => {
    const { name } = parseDataSpec(spec('some where'));
    expect(dataSources[name]).toBeDefined();
    for (const { name: file, urls, md5: sum } of files) {
      expect(sum).toMatch(/^[0-9a-f]{32}$/);
      for (const url of urls) expect(new URL(url).pathname.endsWith(`/${file}`)).toBe(true);
    }
    for (const sum of Object.values(archive?.files ?? {})) expect(sum ?? '0'.repeat(32)).toMatch(/^[0-9a-f]{32}$/);
  });

  test('wrong use', async () => {
    await expect(downloadData('imagenet', folder)).rejects.toThrow(/one of 'mnist', 'fashion-mnist'/);
    await expect(downloadData('mnist', folder, { mirror: 'ftp://x' })).rejects.toThrow(code('INVALID_ARGUMENT'));
    await expect(downloadData('mnist', folder, { retries: 1 } as never)).rejects.toThrow(code('INVALID_ARGUMENT'));
    await expect(downloadData('mnist', folder, { signal: AbortSignal.abort('no') })).rejects.toBe('no');
  });
});

describe('ptmz data', () => {
  const name = 'train-images-idx3-ubyte.gz';
  test('get: what is not the published file is refused; Ctrl-C keeps what came', async () => {
    mkdirSync(folder);
    answers[`/${name}`] = whole(Buffer.from('other'));
    const wrong = await ptmz(folder, ['data', 'get', 'mnist', '--mirror', base]);
    expect(wrong.stderr).toMatch(/published is f68b3c2dcbeaaa9fbdd348bbdeb94873/);
    expect(wrong.code).toBe(1);
    answers[`/${name}`] = (_, response) => {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 1000));
      setTimeout(() => response.write(content.subarray(1000, 2000)), 200);
    };
    let killed = false;
    const stopped = ptmz(folder, ['data', 'get', 'mnist', '--mirror', `${base}/`, '--dir', 'm'], (text, kill) => {
      if (killed || !text.includes('MNIST')) return;
      killed = true;
      const part = join(folder, 'm', `${name}.part`);
      const timer = setInterval(() => {
        if (!existsSync(part)) return;
        clearInterval(timer);
        kill('SIGINT');
      }, 20);
    });
    const { code: exit, stderr } = await stopped;
    expect(stderr).toMatch(/what came is kept, go on with: ptmz data get mnist --dir m/);
    expect(exit).toBe(130);
    expect(existsSync(join(folder, 'm', `${name}.part`))).toBe(true);
  });

  test('list, for people and for programs', async () => {
    mkdirSync(folder);
    const { stdout } = await ptmz(folder, ['data', 'list']);
    expect(stdout).toMatch(/cifar10:DIR +50,000 \+ 10,000 +cifar10/);
    const json = JSON.parse((await ptmz(folder, ['data', 'list', '--json'])).stdout) as {
      sources: { name: string }[];
      downloads: { name: string }[];
    };
    expect(json.sources.map((row) => row.name)).toEqual(Object.keys(dataSources));
    expect(json.downloads.map((row) => row.name)).toEqual(Object.keys(downloads));
    expect((await ptmz(folder, ['data', 'get', 'imagenet'])).stderr).toMatch(/one of 'mnist'.*for <name>/);
  });

  test('tokenize', async () => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'hello.txt'), 'Hello world');
    const { code: exit, stdout, stderr } = await ptmz(folder, 'data tokenize hello.txt --validation 0'.split(' '));
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: `${join('data', 'hello')}\n` });
    expect(stderr).toContain('1 document, 3 + 0 tokens');
    expect(readFileSync(join(folder, 'data/hello/train.bin')).toString('hex')).toBe('883ce30350c4');
  });
});

const tokeniser = await loadTokeniser().catch(() => undefined);
describe.skipIf(!tokeniser)('tokenise', () => {
  const write = (name: string, text: string | Uint8Array) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const END = 50256;

  test('the tokens of GPT-2, an end after each document', async () => {
    // What OpenAI's tiktoken 0.x gives for the same text ("gpt2", encode_ordinary).
    const path = write('a.txt', 'Hello world<|endoftext|>\n<|endoftext|>ü😀 日本語');
    const out = join(folder, 'out');
    expect(await tokenise([path], out, { validation: 0 })).toEqual({
      documents: 2,
      vocabulary: 50257,
      train: 14,
      validation: 0,
    });
    using text = await tokens(out);
    expect(text.vocabulary).toBe(50257);
    const japanese = [9116, 47249, 222, 10545, 245, 98, 17312, 105, 45739, 252];
    expect([...text.train.window(0, 14)]).toEqual([15496, 995, END, ...japanese, END]);
    expect(readdirSync(out).sort()).toEqual(['meta.json', 'train.bin']);
  });

  test('a long text is encoded in pieces with the tokens of the whole', () => {
    const text = readFileSync(new URL('../lib/data/textDocuments.ts', import.meta.url), 'utf8');
    const odd = `a\n\nb \n c\n\n\n  d\n'se\n12\n\u00a0\nü😀\n日本\r\nx\n`;
    const encode = (part: string) => tokeniser!.encode(part, { disallowedSpecial: new Set() });
    for (const whole of [text, odd.repeat(20)]) {
      for (const length of [1, 7, 100, 1000]) {
        const pieces = [...piecesOf(whole, length)];
        expect(pieces.join('')).toBe(whole);
        expect(pieces.flatMap(encode)).toEqual(encode(whole));
      }
    }
    expect([...piecesOf(text, 1000)].length).toBeGreaterThan(2);
  });

  test('one document is divided at its end, many by chance that is always the same', async () => {
    const one = write('one.txt', 'word '.repeat(1000));
    const divided = await tokenise([one], join(folder, 'one'));
    expect(divided.validation / (divided.train + divided.validation)).toBeCloseTo(0.1, 2);
    const lines = Array.from({ length: 400 }, (_, i) => JSON.stringify({ text: `document ${i}` }));
    const many = write('many.jsonl', `${lines.join('\n')}\n\n`);
    const first = await tokenise([many], join(folder, 'x'), { validation: 0.25 });
    expect(first.documents).toBe(400);
    expect(first.validation / (first.train + first.validation)).toBeCloseTo(0.25, 1);
    await tokenise([many], join(folder, 'y'), { validation: 0.25 });
    for (const name of ['train.bin', 'val.bin'])
      expect(readFileSync(join(folder, 'x', name)).equals(readFileSync(join(folder, 'y', name)))).toBe(true);
    // Every token of every document is in one of the two files.
    using text = await tokens(join(folder, 'x'));
    const ends = [text.train, text.test!].map((split) => split.window(0, split.count).filter((t) => t === END).length);
    expect(ends[0]! + ends[1]!).toBe(400);
  });

  test('what cannot be is refused, and nothing is left', async () => {
    const out = join(folder, 'out');
    const bad = async (name: string, text: string | Uint8Array, options = {}) =>
      tokenise([write(name, text)], out, options);
    await expect(bad('a.jsonl', '{"text": "a"}\n{"txt": 1}\n')).rejects.toThrow(/a\.jsonl: line 2/);
    await expect(bad('b.jsonl', '{"text"')).rejects.toThrow(code('DATA_MALFORMED'));
    await expect(bad('c.txt', Uint8Array.of(0xff, 0xfe))).rejects.toThrow(/not UTF-8/);
    await expect(bad('d.txt', ' \n')).rejects.toThrow(/no text/);
    await expect(bad('e.txt', 'x', { validation: 1 })).rejects.toThrow(/no text for training/);
    await expect(bad('f.txt', 'x', { validation: 2 })).rejects.toThrow(code('INVALID_ARGUMENT'));
    await expect(bad('g.txt', 'x', { signal: AbortSignal.abort('no') })).rejects.toBe('no');
    await expect(tokenise([], out)).rejects.toThrow(code('INVALID_ARGUMENT'));
    await expect(tokenise([join(folder, 'none')], out)).rejects.toThrow(code('DATA_MISSING'));
    expect(existsSync(out) ? readdirSync(out) : []).toEqual([]);
    const controller = new AbortController();
    const text = 'a<|endoftext|>b<|endoftext|>c';
    const stopped = bad('h.txt', text, { signal: controller.signal, onProgress: () => controller.abort('enough') });
    await expect(stopped).rejects.toBe('enough');
    expect(readdirSync(out)).toEqual([]);
  });

  test('a package that is not there', async () => {
    const error = await loadTokeniser(() => Promise.reject(new Error('no'))).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'MISSING_PEER', hint: 'npm install gpt-tokenizer' });
  });
});
