/**
 * The request plane inside one process: a direct call. Runtimes that share one {@link LocalRequestPlane} reach each
 * other's endpoints. Credit is kept as on the wire, so that a slow reader holds its writer.
 */
import { DynamoError, instanceIdHex, raceAbort, throwIfAborted } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';

import { Context } from '../../context.ts';
import type {
  OutgoingRequest,
  RawHandler,
  RawResponse,
  RequestPlane,
  RequestTarget,
  ServedTransport,
  ServeOptions,
} from '../request-plane.ts';
import { DEFAULT_CREDIT_BYTES } from '../request-plane.ts';
import type { ServedHandler } from '../served-handler.ts';
import { ServedHandlers } from '../served-handlers.ts';
import { LocalAnswer } from './local-answer.ts';

/** In-process request plane. */
export class LocalRequestPlane implements RequestPlane {
  readonly backend = 'local';
  readonly #creditBytes: number;
  readonly #handlers = new ServedHandlers();
  #arrivals: (() => void)[] = [];

  constructor(options: { readonly creditBytes?: number } = {}) {
    this.#creditBytes = options.creditBytes ?? DEFAULT_CREDIT_BYTES;
  }

  async serve(options: ServeOptions, handler: RawHandler): Promise<ServedTransport> {
    const served = this.#handlers.add(options, handler);
    for (const wake of this.#arrivals.splice(0)) wake();
    return Promise.resolve({
      transport: { kind: { $case: 'local', value: formatEndpointPath(options.endpoint) } },
      refuse: () => {
        served.refuse();
      },
      idle: () => served.idle(),
      close: async () => {
        this.#handlers.remove(served);
        await Promise.resolve();
      },
    });
  }

  async open(target: RequestTarget, request: OutgoingRequest): Promise<RawResponse> {
    throwIfAborted(request.context.killed);
    const served = this.#find(target);
    if (served === undefined) {
      throw new DynamoError(
        'transport.cannot_connect',
        `instance ${instanceIdHex(target.instanceId)} of ${formatEndpointPath(target.endpoint)} is not in this process`,
      );
    }
    const context = new Context({ id: request.context.id, headers: request.context.headers });
    const answer = new LocalAnswer({ context, request, creditBytes: this.#creditBytes });
    const { endpoint } = target;
    const { payload } = request;
    answer.bind(served.start({ endpoint, context, payload }, answer));
    return answer.accepted;
  }

  async reachable(target: RequestTarget, options: { readonly signal: AbortSignal }): Promise<void> {
    while (this.#find(target) === undefined) {
      const arrival = new Promise<void>((resolve) => this.#arrivals.push(resolve));
      await raceAbort(arrival, options.signal);
    }
  }

  async close(): Promise<void> {
    this.#handlers.close();
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #find(target: RequestTarget): ServedHandler | undefined {
    const kind = target.transport.kind;
    return kind?.$case === 'local' ? this.#handlers.find(kind.value, target.instanceId) : undefined;
  }
}
