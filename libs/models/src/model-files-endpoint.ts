import { CardFileServer } from '@dynamo-ts/preprocess';
import { ModelFileChunk, ModelFileRequest } from '@dynamo-ts/protocol';
import type { EndpointPath } from '@dynamo-ts/protocol';
import type { DistributedRuntime, RawHandler } from '@dynamo-ts/runtime';

/** Endpoint that answers `ModelFileRequest`s, beside the one that generates. */
export const MODEL_FILES_ENDPOINT = 'model_files';

/** Serves a component's model files on the request plane until the runtime closes. */
export async function serveModelFiles(
  runtime: DistributedRuntime,
  { namespace, component }: EndpointPath,
): Promise<CardFileServer> {
  const files = new CardFileServer();
  const handler: RawHandler = async ({ payload }, sink) => {
    const chunk = await files.read(ModelFileRequest.decode(payload));
    sink.write(ModelFileChunk.encode(chunk).finish());
    sink.end();
  };
  await runtime
    .namespace(namespace)
    .component(component)
    .endpoint(MODEL_FILES_ENDPOINT)
    .serveRaw(handler);
  return files;
}
