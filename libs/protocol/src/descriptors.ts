import { readFile } from 'node:fs/promises';

import { BinaryReader } from '@bufbuild/protobuf/wire';

/** `FileDescriptorSet.file` */
const FILE_FIELD = 1;

/** The serialised `FileDescriptorProto`s of every contract, for server reflection. */
export async function readFileDescriptors(): Promise<readonly Uint8Array[]> {
  const reader = new BinaryReader(await readFile(new URL('../descriptors.binpb', import.meta.url)));
  const files: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === FILE_FIELD) files.push(reader.bytes());
    else reader.skip(wireType);
  }
  return files;
}
