import { readFileDescriptors } from '@dynamo-ts/protocol';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';

type PackageDefinition = ConstructorParameters<typeof ReflectionService>[0];

const ALWAYS_LISTED = ['grpc.health.v1.Health'];

/** Puts server reflection on a server: all our messages are described, and the services that it serves are listed. */
export async function addReflection(server: Server, served: readonly string[]): Promise<void> {
  const fileDescriptorProtos = (await readFileDescriptors()).map((file) => Buffer.from(file));
  // The service reads nothing but the descriptors; the name and the format of the one entry are never looked at.
  const definition = { contracts: { format: 'FileDescriptorSet', fileDescriptorProtos } };
  const services = [...served, ...ALWAYS_LISTED];
  new ReflectionService(definition as unknown as PackageDefinition, { services }).addToServer(
    server,
  );
}
