/** A process with a gRPC request plane for tests that stop it: `serve`, or `call ADDRESS INSTANCE`. */
import { asInstanceId, createInstanceId } from '@dynamo-ts/base';
import { nullLogger } from '@dynamo-ts/telemetry';

import { Context } from '../../context.ts';
import { GrpcRequestPlane } from './grpc-request-plane.ts';

const ENDPOINT = { namespace: 'test', component: 'backend', endpoint: 'generate' };

const [role, address = '', instance = '0'] = process.argv.slice(2);
const plane = new GrpcRequestPlane({ logger: nullLogger, host: '127.0.0.1' });

if (role === 'serve') {
  const instanceId = createInstanceId();
  const { transport } = await plane.serve({ endpoint: ENDPOINT, instanceId }, (_request, sink) => {
    sink.write(new Uint8Array(1));
  });
  process.stdout.write(`${transport.kind?.value ?? ''} ${instanceId}\n`);
} else {
  const transport = { kind: { $case: 'grpc', value: address } } as const;
  const target = { endpoint: ENDPOINT, instanceId: asInstanceId(BigInt(instance)), transport };
  const response = await plane.open(target, { payload: new Uint8Array(), context: new Context() });
  await response.nextBatch();
  process.stdout.write('answered\n');
  await response.nextBatch();
}
