/**
 * `dynamo.llm.v1.EngineService.Generate` in front of the endpoints of this process, for clients that do not speak the mux:
 * one gRPC stream per request. Payloads pass through as they are.
 *
 * The metadata `dynamo-endpoint: namespace.component.endpoint` names the endpoint; without it one that is called
 * `generate` and serves the request's model answers. A model that is not served here is NOT_FOUND; a request that names
 * none is taken by the first.
 */
import { DynamoError, abortReasonOf } from '@dynamo-ts/base';
import { EngineServiceService, GenerateRequest, formatEndpointPath } from '@dynamo-ts/protocol';
import type { ServerWritableStream, ServiceDefinition } from '@grpc/grpc-js';

import type { ServedHandler } from '../request-plane/served-handler.ts';
import type { ServedHandlers } from '../request-plane/served-handlers.ts';
import type { AnswerChannel } from '../request-plane/server-call.ts';
import { callContext } from './call-context.ts';
import type { GrpcService } from './grpc-server.ts';
import { serviceError } from './service-error.ts';

type GenerateCall = ServerWritableStream<Uint8Array, Uint8Array>;

const ENDPOINT_KEY = 'dynamo-endpoint';

const DEFINITION: ServiceDefinition = {
  generate: {
    ...EngineServiceService.generate,
    requestDeserialize: (bytes: Buffer): Uint8Array => bytes,
    responseSerialize: (bytes: Uint8Array): Buffer =>
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  },
};

/** The engine service over the served endpoints. */
export function engineService(handlers: ServedHandlers): GrpcService {
  return {
    definition: DEFINITION,
    implementation: {
      generate: (call: GenerateCall) => {
        generate(handlers, call);
      },
    },
  };
}

function generate(handlers: ServedHandlers, call: GenerateCall): void {
  const context = callContext(call);
  const answer = new StreamAnswer(call);
  const candidates = findHandlers(handlers, context.headers[ENDPOINT_KEY]);
  if (candidates.length === 0) {
    answer.reject(
      new DynamoError('request.not_found', 'no such endpoint is served here; see dynamo-endpoint'),
    );
    return;
  }
  const served = candidates.find(({ options: { model } }) => serves(model, call.request));
  if (served === undefined) {
    const models = [...new Set(candidates.map(({ options: { model } }) => model))].join(', ');
    answer.reject(
      new DynamoError(
        'request.model_not_found',
        `the model "${modelOf(call.request).slice(0, 256)}" is not served here; served: ${models}`,
      ),
    );
    return;
  }
  const { endpoint } = served.options;
  const running = served.start({ endpoint, context, payload: call.request }, answer);
  call.on('cancelled', () => {
    running?.kill(abortReasonOf(context.killed));
  });
}

function findHandlers(
  handlers: ServedHandlers,
  path: string | undefined,
): readonly ServedHandler[] {
  return handlers
    .all()
    .filter(({ options: { endpoint } }) =>
      path === undefined ? endpoint.endpoint === 'generate' : formatEndpointPath(endpoint) === path,
    );
}

/** An endpoint that has named no model takes all, and payloads that are no `GenerateRequest`. */
function serves(model: string | undefined, payload: Uint8Array): boolean {
  if (model === undefined) return true;
  const asked = modelOf(payload);
  return asked === '' || asked === model;
}

/** The model that a request names; none when it cannot be read, which is for its handler to say. */
function modelOf(payload: Uint8Array): string {
  try {
    return GenerateRequest.decode(payload).model;
  } catch {
    return '';
  }
}

/** Puts an answer on a gRPC stream of its own, whose flow control is the credit. */
class StreamAnswer implements AnswerChannel {
  readonly #call: GenerateCall;

  constructor(call: GenerateCall) {
    this.#call = call;
  }

  accept(): void {}

  reject(error: DynamoError): void {
    this.#call.emit('error', serviceError(error));
  }

  data(item: Uint8Array): boolean {
    return this.#call.write(item);
  }

  async drained(): Promise<void> {
    if (!this.#call.writableNeedDrain) return;
    await new Promise<void>((resolve) => this.#call.once('drain', resolve));
  }

  end(): void {
    this.#call.end();
  }

  error(error: DynamoError): void {
    this.#call.emit('error', serviceError(error));
  }
}
