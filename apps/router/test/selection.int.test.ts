/** Requests and answers as Dynamo 1.6.1's `python -m dynamo.select_service` gives them. */
import { describe, expect, it, vi } from 'vitest';

import { TestEngine, tokens } from './testing-engine.ts';
import { HttpService } from './testing-http.ts';

const PROMPT = JSON.stringify({ model_name: 'm', token_ids: tokens(80) });
const OK = { status: 200, text: '{"status":"ok"}' };
const OVERLAP =
  '"overlap":{"longest_matched":80,"gpu":64,"dp":{"0":64},"cpu":80,"disk":80},"effective_prefill_tokens":4,"potential_decode_blocks":5}';
const CHOICE = `"model_name":"m","routing_group":"default","worker_id":1,"dp_rank":0,"endpoint":"http://h:1","block_size":16,${OVERLAP}`;

describe('the selection service', () => {
  it('chooses, reserves and follows reservations', async () => {
    await using engine = await TestEngine.start();
    await engine.store([101, 102, 103, 104], tokens(64));
    await engine.store([105], tokens(80).slice(64), { parent: 104, medium: 'CPU' });
    await using service = await HttpService.start('selection');
    expect(await service.get('/ready')).toEqual({
      status: 503,
      text: '{"ready":false,"schedulable_workers":0,"workers":[]}',
    });
    expect(await service.post('/select', PROMPT)).toEqual({
      status: 503,
      text: '{"error":"no schedulable workers are available"}',
    });
    const { endpoint, replayEndpoint } = engine.publisher;
    const incomplete = { worker_id: 1, model_name: 'm', endpoint: 'http://h:1', block_size: 16 };
    const described = await service.post('/workers', JSON.stringify(incomplete));
    expect(described).toMatchObject({ status: 201 });
    expect(JSON.parse(described.text)).toMatchObject({
      lifecycle: 'incomplete',
      not_schedulable_reasons: ['kv_events endpoint is required for dp_rank 0'],
    });
    const events = { kv_events_endpoints: { '0': endpoint }, replay_endpoint: replayEndpoint };
    const patch = { method: 'PATCH', body: JSON.stringify({ ...events, total_kv_blocks: 100 }) };
    const patched = await fetch(`${service.url}/workers/1`, patch);
    expect(await patched.json()).toMatchObject({
      lifecycle: 'schedulable',
      endpoint: 'http://h:1',
    });
    expect((await service.get('/ready')).status).toBe(200);
    await vi.waitFor(
      async () => expect((await service.post('/select', PROMPT)).text).toBe(`{${CHOICE}`),
      5000,
    );
    const reserve = PROMPT.replace('{', '{"selection_id":"s1",');
    expect((await service.post('/select_and_reserve', reserve)).text).toBe(
      `{"selection_id":"s1","isl_tokens":80,"track_prefill_tokens":true,${CHOICE}`,
    );
    expect(await service.post('/select_and_reserve', reserve)).toEqual({
      status: 409,
      text: '{"error":"selection s1 is already reserved or being reserved"}',
    });
    expect((await service.get('/loads')).text).toBe(
      '[{"model_name":"m","routing_group":"default","loads":[{"worker_id":1,"dp_rank":0,"potential_prefill_tokens":4,"potential_decode_blocks":5,"active_requests":1}],"pending_count":0,"pending_isl_tokens":0}]',
    );
    expect(await service.post('/reservations/s1/prefill_complete', '')).toEqual(OK);
    expect(await service.post('/reservations/s1/output_block', '{"decay_fraction":0.5}')).toEqual(
      OK,
    );
    const booked =
      '{"model_name":"m","selection_id":"s3","worker_id":1,"dp_rank":0,"token_ids":[1,2]}';
    expect(await service.post('/reservations', booked)).toEqual({
      status: 201,
      text: '{"selection_id":"s3","model_name":"m","routing_group":"default","worker_id":1,"dp_rank":0,"endpoint":"http://h:1"}',
    });
    for (const id of ['s1', 's3']) {
      const freed = await fetch(`${service.url}/reservations/${id}`, { method: 'DELETE' });
      expect(await freed.text()).toBe(OK.text);
    }
    expect((await service.post('/potential_loads', PROMPT)).text).toMatch(
      /"potential_decode_blocks":5,"active_requests":0/,
    );
    expect(JSON.parse((await service.post('/overlap_scores', PROMPT)).text)).toMatchObject({
      block_size: 16,
      num_blocks: 5,
      workers: [{ worker_id: 1, device_blocks: 4, host_pinned_blocks: 5, disk_blocks: 5 }],
    });
    const removed = await fetch(`${service.url}/workers/1`, { method: 'DELETE' });
    expect(await removed.json()).toMatchObject({ worker_id: 1, lifecycle: 'unschedulable' });
    expect((await service.get('/workers')).text).toBe('[]');
  });

  it('refuses what does not fit, with the same statuses', async () => {
    await using engine = await TestEngine.start();
    await using service = await HttpService.start('selection');
    const events = { kv_events_endpoints: { '0': engine.publisher.endpoint } };
    const worker = {
      worker_id: 1,
      model_name: 'm',
      endpoint: 'http://h:1',
      block_size: 16,
      ...events,
    };
    await service.post('/workers', JSON.stringify(worker));
    const refusals: readonly [string, string, number, string][] = [
      ['/select', '{"model_name":"m"}', 400, 'block_hashes is required without token_ids'],
      [
        '/select',
        '{"model_name":"z","token_ids":[1]}',
        503,
        'no schedulable workers for model=z routing_group=default',
      ],
      [
        '/select',
        '{"model_name":"m","token_ids":[1],"router_config_override":{"router_temperature":-1}}',
        400,
        'router_temperature must be a number from 0',
      ],
      ['/reservations/zz/output_block', '{}', 404, 'reservation zz not found'],
      ['/workers', '{"model_name":"m"}', 422, 'worker_id'],
      ['/workers/1', '{}', 405, 'method not allowed'],
    ];
    for (const [path, body, status, text] of refusals) {
      const answer = await service.post(path, body);
      expect(answer, `${path} ${body}`).toMatchObject({ status });
      expect(answer.text).toContain(text);
    }
  });
});
