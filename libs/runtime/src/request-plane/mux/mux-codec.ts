/**
 * Messages of the mux. One writer is reused because making one costs ten times an encode; it is thrown away when an
 * encode fails in the middle, because only `finish()` resets it.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { ConnectRequest, ConnectResponse } from '@dynamo-ts/protocol';
import type { ClientFrame, ServerFrame } from '@dynamo-ts/protocol';

let writer = new BinaryWriter();

/** Bytes of a message to the server. */
export function encodeRequest(frames: readonly ClientFrame[]): Uint8Array {
  return encode(() => ConnectRequest.encode({ frames: frames as ClientFrame[] }, writer));
}

/** Bytes of a message to the client. */
export function encodeResponse(frames: readonly ServerFrame[]): Uint8Array {
  return encode(() => ConnectResponse.encode({ frames: frames as ServerFrame[] }, writer));
}

function encode(write: () => BinaryWriter): Uint8Array {
  try {
    return write().finish();
  } catch (error) {
    writer = new BinaryWriter();
    throw error;
  }
}
