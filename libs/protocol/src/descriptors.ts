import { readFile } from 'node:fs/promises';

import { BinaryReader } from '@bufbuild/protobuf/wire';

const FILE_FIELD_TAG = 10;

/** The serialised `FileDescriptorProto`s of every contract, for server reflection. */
export async function readFileDescriptors(): Promise<readonly Uint8Array[]> {
  const reader = new BinaryReader(await readFile(new URL('../descriptors.binpb', import.meta.url)));
  const files: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === FILE_FIELD_TAG) files.push(reader.bytes());
    else reader.skip(tag & 7);
  }
  return files;
}
