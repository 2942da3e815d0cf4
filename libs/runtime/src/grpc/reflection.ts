import { readFileDescriptors } from '@dynamo-ts/protocol';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';

type PackageDefinition = ConstructorParameters<typeof ReflectionService>[0];

/** Puts server reflection for all our contracts on a server. */
export async function addReflection(server: Server): Promise<void> {
  const fileDescriptorProtos = (await readFileDescriptors()).map((file) => Buffer.from(file));
  // The service reads nothing but the descriptors; the name and the format of the one entry are never looked at.
  const definition = { contracts: { format: 'FileDescriptorSet', fileDescriptorProtos } };
  new ReflectionService(definition as unknown as PackageDefinition).addToServer(server);
}
