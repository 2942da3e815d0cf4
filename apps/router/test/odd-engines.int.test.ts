/** Engines that cannot be: what is said about them is refused, quickly, and leaves nothing behind. */
import { RegisterWorkerRequest } from '@dynamo-ts/protocol';
import { describe, expect, it } from 'vitest';

import { GrpcCaller } from './grpc-caller.ts';
import { HttpService } from './testing-http.ts';
import { ENDPOINT, Fleet } from './testing-fleet.ts';

const LARGEST = 0xffff_ffff;
const NOWHERE = 'tcp://127.0.0.1:1';

describe('engines that cannot be', () => {
  it('are refused by the router', async () => {
    await using fleet = await Fleet.start();
    const worker = await fleet.worker((_request, sink) => sink.end());
    const app = await fleet.router();
    using caller = new GrpcCaller(app.grpcPort);
    const register = (engine: Partial<RegisterWorkerRequest>) =>
      caller.ask(
        'registerWorker',
        RegisterWorkerRequest.create({ workerId: 9n, endpoint: ENDPOINT, ...engine }),
      );
    const refused: readonly (readonly [Partial<RegisterWorkerRequest>, RegExp])[] = [
      [{ dpSize: LARGEST }, /dp_size is 4294967295; at most 1024 ranks/],
      [{ dpStartRank: LARGEST }, /dp_start_rank must be at most 65535/],
      [{ kvEventsEndpoints: { 5: NOWHERE } }, /worker 9 has no rank 5/],
      [{ kvEventsEndpoints: { 0: 'rubbish' } }, /rubbish is no event endpoint/],
      [{ kvEventsEndpoints: { 0: 'http://x:1' } }, /http:\/\/x:1 is no event endpoint/],
      [{ kvEventsEndpoints: { 0: 'tcp://x:99999' } }, /x:99999 is no event endpoint/],
      [{ kvEventsEndpoints: { 0: NOWHERE }, replayEndpoints: { 0: 'x' } }, /x is no event end/],
      [{ workerId: worker.instanceId }, /is an instance of dynamo\.backend\.generate already/],
    ];
    for (const [engine, message] of refused)
      await expect(register(engine), String(message)).rejects.toThrow(message);
    expect(await caller.ask('listWorkers', { endpoint: '' })).toEqual({ workers: [] });
    await register({ kvEventsEndpoints: { 0: NOWHERE } });
    expect((await caller.ask('listWorkers', { endpoint: '' })).workers).toHaveLength(1);
  });

  it('are refused by the indexer, which can be told better then', async () => {
    await using indexer = await HttpService.start('indexer');
    const register = (engine: object) =>
      indexer.post(
        '/register',
        JSON.stringify({
          ...{ instance_id: 1, endpoint: NOWHERE, model_name: 'm', block_size: 16 },
          ...engine,
        }),
      );
    expect(await register({ block_size: LARGEST })).toMatchObject({ status: 400 });
    expect(await register({ block_size: 0 })).toMatchObject({ status: 400 });
    expect(await register({ dp_rank: LARGEST })).toMatchObject({ status: 422 });
    // A well-formed address at which no socket can be made.
    expect(await register({ endpoint: 'ipc:///no/such/folder/*' })).toMatchObject({ status: 400 });
    expect(await indexer.get('/workers')).toEqual({ status: 200, text: '[]' });
    expect(await register({})).toMatchObject({ status: 201 });
    expect(await register({ dp_rank: 2000 })).toMatchObject({ status: 422 });
    expect(await register({ dp_rank: 1000 })).toMatchObject({ status: 201 });
  });

  it('are refused by the slot tracker, which keeps no group for them', async () => {
    await using tracker = await HttpService.start('slot-tracker');
    const register = (worker: object) =>
      tracker.post(
        '/register',
        JSON.stringify({ worker_id: 1, model_name: 'm', dp_start: 0, dp_size: 1, ...worker }),
      );
    expect(await register({ block_size: 16, dp_size: LARGEST })).toMatchObject({ status: 422 });
    expect(await register({ block_size: 16, dp_start: LARGEST })).toMatchObject({ status: 422 });
    expect(await register({})).toMatchObject({ status: 422 });
    // Were the group there, another block size would be a conflict.
    expect(await register({ block_size: 64 })).toMatchObject({ status: 201 });
    expect(await register({ block_size: 16, worker_id: 2 })).toMatchObject({ status: 409 });
  });

  it('do not stop the selection service', async () => {
    await using service = await HttpService.start('selection');
    const put = (worker: object) =>
      service.post(
        '/workers',
        JSON.stringify({ worker_id: 1, endpoint: 'http://h:1', block_size: 16, ...worker }),
      );
    const events = { kv_events_endpoints: { 0: NOWHERE } };
    expect(await put({ ...events, data_parallel_size: LARGEST })).toMatchObject({ status: 422 });
    expect(await put({ kv_events_endpoints: { 0: 'rubbish' } })).toMatchObject({ status: 400 });
    expect(await put({ kv_events_endpoints: { a: NOWHERE } })).toMatchObject({ status: 422 });
    expect(await service.get('/workers')).toEqual({ status: 200, text: '[]' });
    expect(await put(events)).toMatchObject({ status: 201 });
  });
});
