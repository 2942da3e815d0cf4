/** Frames of the request plane from a peer that is wrong or hostile: odd orders, odd sizes, changed bytes, noise. */
import { asInstanceId, createInstanceId } from '@dynamo-ts/base';
import { ConnectRequest, MuxServiceService } from '@dynamo-ts/protocol';
import { Context, GrpcRequestPlane } from '@dynamo-ts/runtime';
import type { RawHandler } from '@dynamo-ts/runtime';
import { nullLogger } from '@dynamo-ts/telemetry';
import { Client, credentials } from '@grpc/grpc-js';

import { Dice, mutatedBytes } from './mutation.ts';
import type { FuzzTarget, FuzzTargetSpec } from './target.ts';

const ENDPOINT = { namespace: 'fuzz', component: 'backend', endpoint: 'generate' };
const PATH = 'fuzz.backend.generate';
/** A hostile connection is left after so long; what it asked for must go with it. */
const LINGER_MS = 20;

/** The mux listener of a serving process, this one. */
export const MUX_FRAMES: FuzzTargetSpec = {
  name: 'mux',
  what: 'messages on the mux stream between two processes',
  async start() {
    const plane = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });
    const instanceId = createInstanceId();
    const { transport } = await plane.serve({ endpoint: ENDPOINT, instanceId }, echo);
    return new MuxFrames(plane, instanceId, String(transport.kind?.value));
  },
};

/** Answers with the payload, in several items, until told to stop. */
const echo: RawHandler = ({ payload, context }, sink) => {
  for (let item = 0; item < 5 && !context.isStopped(); item += 1) sink.write(payload);
  sink.end();
};

class MuxFrames implements FuzzTarget {
  readonly #plane: GrpcRequestPlane;
  readonly #instanceId: bigint;
  readonly #address: string;
  readonly #peer = new GrpcRequestPlane({ logger: nullLogger });

  constructor(plane: GrpcRequestPlane, instanceId: bigint, address: string) {
    this.#plane = plane;
    this.#instanceId = instanceId;
    this.#address = address;
  }

  async attempt(seed: number): Promise<string | undefined> {
    const dice = new Dice(seed);
    const client = new Client(this.#address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    const call = client.makeBidiStreamRequest(
      MuxServiceService.connect.path,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
    );
    // That the server ends the connection is what it may do.
    call.on('error', () => undefined);
    call.resume();
    for (let count = 1 + dice.below(12); count > 0; count -= 1)
      call.write(Buffer.from(this.#message(dice)));
    await new Promise((resolve) => setTimeout(resolve, LINGER_MS));
    if (dice.once(2)) call.end();
    else call.cancel();
    client.close();
    return undefined;
  }

  async works(): Promise<void> {
    const transport = { kind: { $case: 'grpc', value: this.#address } } as const;
    const target = { endpoint: ENDPOINT, instanceId: asInstanceId(this.#instanceId), transport };
    const payload = Buffer.from('good');
    const response = await this.#peer.open(target, { payload, context: new Context() });
    let items = 0;
    for (let batch = await response.nextBatch(); batch; batch = await response.nextBatch())
      items += batch.length;
    if (items !== 5) throw new Error(`${items} items instead of 5`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer.close();
    await this.#plane.close();
  }

  #message(dice: Dice): Uint8Array {
    if (dice.once(10)) return Uint8Array.from({ length: dice.below(200) }, () => dice.below(256));
    const frames = Array.from({ length: 1 + dice.below(6) }, () => this.#frame(dice));
    const bytes = ConnectRequest.encode(ConnectRequest.fromPartial({ frames })).finish();
    return dice.once(4) ? mutatedBytes(bytes, dice) : bytes;
  }

  #frame(dice: Dice): NonNullable<Parameters<typeof ConnectRequest.fromPartial>[0]['frames']>[0] {
    const stream = dice.pick([0, 1, 1, 2, 3, 2 ** 32 - 1]);
    switch (dice.below(7)) {
      case 0:
      case 1:
        return { stream, body: { $case: 'open', value: this.#open(dice) } };
      case 2:
        return { stream, body: { $case: 'data', value: Buffer.alloc(dice.below(3000)) } };
      case 3:
        return { stream, body: { $case: 'halfClose', value: {} } };
      case 4:
        return { stream, body: { $case: 'stop', value: { reason: '' } } };
      case 5:
        return { stream, body: { $case: 'kill', value: { reason: '' } } };
      default:
        return {
          stream,
          body: { $case: 'credit', value: dice.pick([0, 1, 2 ** 31, 2 ** 32 - 1]) },
        };
    }
  }

  #open(dice: Dice): object {
    const payload = Buffer.alloc(dice.below(2000));
    return {
      endpoint: dice.pick([PATH, PATH, 'fuzz.backend.other', '', '.', 'a.b.c.d', '\0']),
      requestId: dice.pick(['r', '', 'r'.repeat(5000)]),
      headers: dice.once(2) ? {} : { traceparent: dice.pick(['', 'x', '00-0-0-01']), '': '' },
      payload,
      payloadSize: dice.pick([payload.length, payload.length, 0, 1, 2 ** 32 - 1]),
      credit: dice.pick([1 << 20, 0, 1, 2 ** 32 - 1]),
      instanceId: dice.pick([this.#instanceId, this.#instanceId, 0n, 5n]),
    };
  }
}
