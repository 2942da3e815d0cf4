import { EngineServiceService, GenerateRequest } from '@dynamo-ts/protocol';
import { endpointOf } from '@dynamo-ts/routing';
import type { RequestForwarder } from '@dynamo-ts/routing';
import { serverStreamMethod } from '@dynamo-ts/runtime';
import type { GrpcService } from '@dynamo-ts/runtime';

/** Full name of the public service, as in its contract. */
export const ENGINE_GRPC_SERVICE = 'dynamo.llm.v1.EngineService';

/**
 * `Generate` for any endpoint: the request is placed and passed on, the worker's answer comes back as it is. The metadata
 * `dynamo-endpoint: namespace.component.endpoint` names the endpoint, otherwise it is `own`.
 */
export function engineGrpcService(forwarder: RequestForwarder, own: string): GrpcService {
  return {
    definition: {
      generate: {
        ...EngineServiceService.generate,
        requestDeserialize: (bytes: Buffer): Buffer => bytes,
        responseSerialize: (bytes: Uint8Array): Buffer =>
          Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      },
    },
    implementation: {
      generate: serverStreamMethod((payload: Buffer, context) =>
        forwarder.items(GenerateRequest.decode(payload), payload, {
          endpoint: endpointOf(context, own),
          context,
        }),
      ),
    },
  };
}
