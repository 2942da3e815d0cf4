/** The mux's RPC as grpc-js sees it: messages are bytes that the sessions encode and decode themselves. */
import { MuxServiceService } from '@dynamo-ts/protocol';
import type { ChannelOptions, MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** A buffer over the same memory; grpc-js needs a Buffer and would copy otherwise. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const same = (bytes: Buffer): Uint8Array => bytes;

/** `dynamo.mux.v1.MuxService/Connect` over raw messages. */
export const CONNECT_METHOD: MethodDefinition<Uint8Array, Uint8Array> = {
  path: MuxServiceService.connect.path,
  requestStream: true,
  responseStream: true,
  requestSerialize: asBuffer,
  requestDeserialize: same,
  responseSerialize: asBuffer,
  responseDeserialize: same,
};

/** The mux service definition for a server. */
export const MUX_SERVICE: ServiceDefinition = { connect: CONNECT_METHOD };

/** Channel options of a mux connection. */
export const MUX_CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // HTTP/2's default of 64 KiB would stall every large answer for a round trip per window.
  'grpc-node.flow_control_window': 8 * 1024 * 1024,
  // A peer that vanished without closing is noticed within these two.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
  // The default waits up to two minutes before it tries a restarted worker again.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // One connection per process pair is ours alone, so that closing it closes it.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  // Without a copy for retries, which there are none of, a message counts as taken when it has been sent and not before.
  'grpc.per_rpc_retry_buffer_size': 0,
  'grpc.service_config_disable_resolution': 1,
};
