import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { fetchModel, hubSettings } from './fetch-model.ts';

const COMMIT = 'c0ffee0123';
const FILES: Record<string, string> = {
  'config.json': '{"max_position_embeddings":1}',
  'tokenizer.json': '{}',
  'model-00001.safetensors': 'weights',
  'sub folder/extra.json': '{}',
  'README.md': 'read me',
};

describe('fetchModel', () => {
  let cacheDirectory = '';
  let server: Server;
  let endpoint = '';
  let asked: string[] = [];
  let siblings = Object.keys(FILES);

  beforeEach(async () => {
    cacheDirectory = await mkdtemp(join(tmpdir(), 'dynamo-hub-'));
    asked = [];
    siblings = Object.keys(FILES);
    server = createServer((request, response) => {
      const url = decodeURIComponent(request.url ?? '');
      asked.push(url);
      if (request.headers.authorization !== 'Bearer secret') response.writeHead(401).end();
      else if (url === '/api/models/org/name/revision/main') {
        const list = siblings.map((rfilename) => ({ rfilename }));
        response.end(JSON.stringify({ sha: COMMIT, siblings: list }));
      } else {
        const file = FILES[url.replace(`/org/name/resolve/${COMMIT}/`, '')];
        if (file === undefined) response.writeHead(404).end();
        else response.end(file);
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(cacheDirectory, { recursive: true, force: true });
  });

  const fetched = (options: object = {}): Promise<string> =>
    fetchModel('org/name', { endpoint, token: 'secret', cacheDirectory, ...options });

  it('fetches everything but what is no model, in the layout of the hub', async () => {
    const folder = await fetched();
    expect(folder).toBe(join(cacheDirectory, 'models--org--name', 'snapshots', COMMIT));
    expect((await readdir(folder, { recursive: true })).sort()).toEqual([
      'config.json',
      'model-00001.safetensors',
      'sub folder',
      'sub folder/extra.json',
      'tokenizer.json',
    ]);
    expect(await readFile(join(folder, 'sub folder/extra.json'), 'utf8')).toBe('{}');
  });

  it('leaves weights when asked, gets them later, and fetches nothing twice', async () => {
    const folder = await fetched({ ignoreWeights: true });
    expect(await readdir(folder)).not.toContain('model-00001.safetensors');
    asked = [];
    await fetched();
    expect(asked).toEqual([
      '/api/models/org/name/revision/main',
      `/org/name/resolve/${COMMIT}/model-00001.safetensors`,
    ]);
  });

  it('asks nobody offline', async () => {
    await expect(fetched({ offline: true })).rejects.toMatchObject({ code: 'model.invalid' });
    const folder = await fetched();
    asked = [];
    expect(await fetched({ offline: true })).toBe(folder);
    expect(asked).toEqual([]);
  });

  it('leaves a path that exists alone', async () => {
    expect(await fetchModel(import.meta.filename)).toBe(import.meta.filename);
  });

  it.each([
    ['no access', 'org/name', { token: undefined }, /refuses access with 401; set HF_TOKEN/],
    ['an unknown model', 'org/other', {}, /answers 404/],
    ['a path that is not there', '/no/such/folder', {}, /neither a path/],
    ['a name that leaves the cache', '../x', {}, /neither a path/],
    ['an unreachable hub', 'org/name', { endpoint: 'http://127.0.0.1:1' }, /cannot be reached/],
  ])('says so: %s', async (_case, name, options, message) => {
    await expect(
      fetchModel(name, { endpoint, token: 'secret', cacheDirectory, ...options }),
    ).rejects.toThrow(message);
  });

  it('refuses a file outside of its folder and keeps no half file', async () => {
    siblings = ['../../escaped.json'];
    await expect(fetched()).rejects.toThrow(/impossible file/);
    siblings = ['gone.json'];
    await expect(fetched()).rejects.toThrow(/answers 404/);
    expect(await readdir(cacheDirectory, { recursive: true })).toEqual([]);
  });

  it('reads the usual variables', () => {
    expect(hubSettings({ HF_HOME: '/h', HF_TOKEN: 't', HF_HUB_OFFLINE: '1' })).toEqual({
      endpoint: undefined,
      token: 't',
      cacheDirectory: '/h/hub',
      offline: true,
    });
  });
});
