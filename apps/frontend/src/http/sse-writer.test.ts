import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';

import { SSE_DONE } from '@dynamo-ts/openai';
import { expect, it, vi } from 'vitest';

import { SseWriter } from './sse-writer.ts';

it('sends the last event and the end of the body in one write, so that clients can keep the connection', async () => {
  const writes: { readonly mock: { readonly calls: readonly unknown[] } }[] = [];
  const server = createServer((request, response) => {
    const writer = new SseWriter({ response, headers: {} });
    writer.write('data: 1\n\n');
    request.once('data', () => {
      // What Node calls once per system call.
      writes.push(vi.spyOn(request.socket, '_write'), vi.spyOn(request.socket, '_writev'));
      writer.end(SSE_DONE);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => (answer += String(data)));
  try {
    socket.write('POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\n');
    await vi.waitFor(() => expect(answer).toContain('data: 1'));
    socket.write('ok');
    const end = SSE_DONE.length.toString(16);
    await vi.waitFor(() => expect(answer).toContain(`\r\n${end}\r\n${SSE_DONE}\r\n0\r\n\r\n`));
    expect(writes.flatMap(({ mock }) => mock.calls)).toHaveLength(1);
  } finally {
    socket.destroy();
    server.close();
  }
});
