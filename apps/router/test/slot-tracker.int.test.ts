/** Requests and answers as Dynamo 1.6.1's `python -m dynamo.slot_tracker` gives them. */
import { describe, expect, it, vi } from 'vitest';

import { HttpService } from './testing-http.ts';

const OK = '{"status":"ok"}';
const WORKER = '{"worker_id":1,"model_name":"m","block_size":16,"dp_start":0,"dp_size":2}';
const R1 =
  '{"model_name":"m","request_id":"r1","worker_id":1,"dp_rank":0,"sequence_hashes":[1,2,-3],"new_isl_tokens":40}';

describe('the slot tracker', () => {
  it('follows requests from their start to their end', async () => {
    await using tracker = await HttpService.start('slot-tracker');
    expect(await tracker.get('/health')).toEqual({ status: 200, text: '' });
    expect(await tracker.post('/register', WORKER)).toEqual({ status: 201, text: OK });
    expect((await tracker.get('/workers')).text).toBe(
      '[{"worker_id":1,"model_name":"m","routing_group":"default","block_size":16,"dp_start":0,"dp_size":2}]',
    );
    expect(await tracker.post('/add', R1)).toEqual({ status: 201, text: OK });
    const second =
      '{"model_name":"m","request_id":"r2","worker_id":1,"dp_rank":1,"sequence_hashes":[1]}';
    expect(await tracker.post('/add', second)).toEqual({ status: 201, text: OK });
    expect((await tracker.get('/loads')).text).toBe(
      '[{"model_name":"m","routing_group":"default","worker_id":1,"dp_rank":0,"active_prefill_tokens":40,"active_decode_blocks":3},{"model_name":"m","routing_group":"default","worker_id":1,"dp_rank":1,"active_prefill_tokens":0,"active_decode_blocks":1}]',
    );
    const potential = '{"model_name":"m","sequence_hashes":[1,2,5],"new_isl_tokens":48}';
    expect((await tracker.post('/potential_loads', potential)).text).toBe(
      '[{"worker_id":1,"dp_rank":0,"potential_prefill_tokens":88,"potential_decode_blocks":4,"active_requests":1},{"worker_id":1,"dp_rank":1,"potential_prefill_tokens":48,"potential_decode_blocks":3,"active_requests":1}]',
    );
    const r1 = '{"model_name":"m","request_id":"r1"}';
    expect(await tracker.post('/prefill_complete', r1)).toEqual({ status: 200, text: OK });
    expect(await tracker.post('/free', r1)).toEqual({ status: 200, text: OK });
    expect(await tracker.post('/free', r1)).toEqual({ status: 200, text: OK });
    expect((await tracker.get('/loads?model_name=m')).text).toContain(
      '"dp_rank":0,"active_prefill_tokens":0,"active_decode_blocks":0}',
    );
    expect((await tracker.get('/loads?model_name=another')).text).toBe('[]');
    expect((await tracker.get('/metrics')).text).toContain(
      'dynamo_kvindexer_requests_total{endpoint="/add",method="POST"} 2',
    );
  });

  it('refuses what does not fit, with the same statuses', async () => {
    await using tracker = await HttpService.start('slot-tracker');
    await tracker.post('/register', WORKER);
    await tracker.post('/add', R1);
    const refusals: readonly [string, string, number, string][] = [
      ['/register', WORKER, 409, 'worker 1 already registered for model=m routing_group=default'],
      [
        '/register',
        WORKER.replace('16', '32').replace('"worker_id":1', '"worker_id":2'),
        409,
        'block_size mismatch for model=m routing_group=default: existing=16, requested=32',
      ],
      ['/register', '{"worker_id":2,"model_name":"m","block_size":16}', 422, 'dp_start'],
      ['/register', 'nonsense', 400, 'JSON'],
      ['/register', '[]', 422, 'object'],
      ['/add', R1, 409, 'Request r1 already exists'],
      ['/add', R1.replace('"r1"', '"r3"').replace('"worker_id":1', '"worker_id":9'), 404, 'Worker'],
      ['/add', R1.replace('"r1"', '"r3"').replace('"dp_rank":0', '"dp_rank":7'), 404, 'not found'],
      ['/add', '{"request_id":"r1","worker_id":1,"dp_rank":0}', 422, 'model_name'],
      ['/prefill_complete', '{"model_name":"m","request_id":"zz"}', 404, 'Request zz not found'],
      [
        '/free',
        '{"model_name":"x","request_id":"r1"}',
        404,
        'no slot tracker for model=x routing_group=default',
      ],
      ['/unregister', '{"worker_id":2,"model_name":"m"}', 404, 'worker 2 not found for model=m'],
      ['/loads', '{}', 405, 'method not allowed'],
      ['/nothing', '{}', 404, 'route not found'],
    ];
    for (const [path, body, status, text] of refusals) {
      const answer = await tracker.post(path, body);
      expect(answer, `${path} ${body}`).toMatchObject({ status });
      expect(answer.text).toContain(text);
      expect(JSON.parse(answer.text)).toHaveProperty('error');
    }
    expect((await tracker.post('/unregister', '{"worker_id":1,"model_name":"m"}')).text).toBe(OK);
    expect((await tracker.get('/workers')).text).toBe('[]');
  });

  it('forgets what nobody frees', async () => {
    await using tracker = await HttpService.start('slot-tracker', '--router-lease', '1');
    await tracker.post('/register', WORKER);
    await tracker.post('/add', R1);
    await vi.waitFor(
      async () =>
        expect((await tracker.get('/loads')).text).toContain(
          '"dp_rank":0,"active_prefill_tokens":0,"active_decode_blocks":0',
        ),
      5000,
    );
    expect((await tracker.post('/add', R1)).status).toBe(201);
  });
});
