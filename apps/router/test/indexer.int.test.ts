/** Requests and answers as Dynamo 1.6.1's `python -m dynamo.indexer` gives them. */
import { describe, expect, it, vi } from 'vitest';

import { TestEngine, tokens } from './testing-engine.ts';
import { HttpService } from './testing-http.ts';

const OK = '{"status":"ok"}';

const registration = (engine: TestEngine, id = 1): string =>
  JSON.stringify({
    instance_id: id,
    endpoint: engine.publisher.endpoint,
    replay_endpoint: engine.publisher.replayEndpoint,
    model_name: 'm',
    block_size: 16,
  });

const query = (count: number, model = 'm'): string =>
  JSON.stringify({ token_ids: tokens(count), model_name: model });

/** An engine with four blocks on its device and one in host memory. */
async function warmEngine(): Promise<TestEngine> {
  const engine = await TestEngine.start();
  await engine.store([101, 102, 103, 104], tokens(64));
  await engine.store([105], tokens(80).slice(64), { parent: 104, medium: 'CPU' });
  return engine;
}

const FULL =
  '{"scores":{"1":{"0":64}},"frequencies":[],"instances":{"1":{"longest_matched":80,"gpu":64,"dp":{"0":64},"cpu":80,"disk":80}}}';

describe('the indexer', () => {
  it('knows what an engine holds, in tokens and by tier, and what it gave up', async () => {
    await using engine = await warmEngine();
    await using indexer = await HttpService.start('indexer');
    expect(await indexer.post('/register', registration(engine))).toEqual({
      status: 201,
      text: OK,
    });
    await vi.waitFor(
      async () => expect((await indexer.post('/query', query(80))).text).toBe(FULL),
      5000,
    );
    expect((await indexer.post('/query', query(40))).text).toBe(
      '{"scores":{"1":{"0":32}},"frequencies":[],"instances":{"1":{"longest_matched":32,"gpu":32,"dp":{"0":32},"cpu":32,"disk":32}}}',
    );
    await engine.remove([104]);
    await vi.waitFor(async () =>
      expect((await indexer.post('/query', query(64))).text).toContain('"gpu":48'),
    );
    const listed = JSON.parse((await indexer.get('/workers')).text) as unknown;
    const { endpoint } = engine.publisher;
    expect(listed).toMatchObject([
      {
        instance_id: 1,
        source: 'zmq',
        status: 'active',
        model_name: 'm',
        routing_group: 'default',
        block_size: 16,
        endpoints: { '0': endpoint },
        listeners: { '0': { endpoint, status: 'active' } },
      },
    ]);
    expect((await indexer.get('/metrics')).text).toMatch(/dynamo_kvindexer_workers 1/);
    const leaving = '{"instance_id":1,"model_name":"m"}';
    expect(await indexer.post('/unregister', leaving)).toEqual({ status: 200, text: OK });
    expect((await indexer.get('/workers')).text).toBe('[]');
  });

  it('takes hashes as signed numbers, and dumps every bit of them', async () => {
    await using engine = await warmEngine();
    await using indexer = await HttpService.start('indexer');
    await indexer.post('/register', registration(engine));
    await vi.waitFor(
      async () => expect((await indexer.post('/query', query(80))).text).toBe(FULL),
      5000,
    );
    const { text } = await indexer.get('/dump');
    // The hashes that the reference computes for these tokens.
    expect(text).toContain('"block_hash":101,"tokens_hash":16863443419780771464');
    expect(text).toContain('{"block_hash":105,"tokens_hash":16834955385703272754');
    expect(text).toMatch(
      /^\{"m:default":\{"block_size":16,"events":\[\{"worker_id":1,"storage_tier":"device"/,
    );
    const signed = BigInt.asIntN(64, 16_863_443_419_780_771_464n);
    const byHash = await indexer.post(
      '/query_by_hash',
      `{"block_hashes":[${signed},7],"model_name":"m"}`,
    );
    expect(byHash.text).toContain('"scores":{"1":{"0":16}}');
  });

  it('starts from a peer', async () => {
    await using engine = await warmEngine();
    await using peer = await HttpService.start('indexer');
    await peer.post('/register', registration(engine));
    await vi.waitFor(
      async () => expect((await peer.post('/query', query(80))).text).toBe(FULL),
      5000,
    );
    // The engine itself could no longer say what it holds.
    engine.publisher.kept.length = 0;
    await using indexer = await HttpService.start(
      'indexer',
      '--indexer-peers',
      `http://127.0.0.1:1,${peer.url}`,
    );
    await vi.waitFor(
      async () => expect((await indexer.post('/query', query(80))).text).toBe(FULL),
      5000,
    );
    expect(JSON.parse((await indexer.get('/peers')).text)).toEqual([
      'http://127.0.0.1:1',
      peer.url,
    ]);
  });

  it('refuses what does not fit, with the same statuses', async () => {
    await using engine = await TestEngine.start();
    await using indexer = await HttpService.start('indexer');
    await indexer.post('/register', registration(engine));
    const refusals: readonly [string, string, number, string][] = [
      ['/register', registration(engine), 409, 'instance 1 dp_rank 0 already registered'],
      [
        '/register',
        registration(engine, 2).replace('"block_size":16', '"block_size":32'),
        409,
        'block_size mismatch for model=m routing_group=default: existing=16, requested=32',
      ],
      ['/register', '{"instance_id":2}', 422, 'missing field `endpoint`'],
      ['/register', registration(engine, 3).replaceAll('tcp:', 'http:'), 400, 'no event endpoint'],
      ['/query', query(3, 'none'), 404, 'no indexer for model=none routing_group=default'],
      ['/query', '{"model_name":"m"}', 422, 'token_ids'],
      ['/unregister', '{"instance_id":9,"model_name":"m"}', 404, 'instance 9 not found'],
      ['/deregister_peer', '{"url":"http://127.0.0.1:1"}', 404, 'peer not found'],
      ['/register_peer', '{"url":"nowhere"}', 400, 'no URL'],
    ];
    for (const [path, body, status, text] of refusals) {
      const answer = await indexer.post(path, body);
      expect(answer, `${path} ${body}`).toMatchObject({ status });
      expect(answer.text).toContain(text);
    }
    expect((await indexer.post('/register_peer', '{"url":"http://h:8090"}')).status).toBe(201);
    expect((await indexer.get('/peers')).text).toBe('["http://h:8090"]');
    expect((await indexer.get('/query')).status).toBe(405);
  });
});
