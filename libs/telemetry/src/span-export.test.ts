import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';

import { describe, expect, it, vi } from 'vitest';

import { createTelemetry } from './telemetry.ts';

/** A collector that keeps the bodies it is sent. */
async function collector() {
  const bodies: Buffer[] = [];
  const paths: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    paths.push(request.url);
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      bodies.push(Buffer.concat(chunks));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = async () => new Promise<void>((resolve) => server.close(() => resolve()));
  return { url: `http://127.0.0.1:${port}`, bodies, paths, [Symbol.asyncDispose]: close };
}

describe('span export over http/protobuf', () => {
  it('sends spans that ended before the exporter was loaded, at the latest on close', async () => {
    await using sink = await collector();
    const telemetry = createTelemetry({
      service: 'frontend',
      logFilter: 'off',
      otelExportEnabled: true,
      otlpProtocol: 'http/protobuf',
      otlpEndpoint: sink.url,
    });
    const parent = telemetry.tracer.startSpan('http-request', { kind: 'server' });
    const child = telemetry.tracer.startSpan('route', { parent: parent.context });
    child.recordError(new Error('no worker'));
    child.end();
    parent.setAttribute('model', 'my-model');
    parent.end();
    await telemetry.close();
    await vi.waitFor(() => expect(sink.bodies.length).toBeGreaterThan(0));
    const body = Buffer.concat(sink.bodies);
    for (const text of ['http-request', 'route', 'my-model', 'frontend', 'no worker'])
      expect(body.includes(text), text).toBe(true);
    expect(body.includes(Buffer.from(parent.context.traceId, 'hex'))).toBe(true);
    expect(body.includes(Buffer.from(child.context.spanId, 'hex'))).toBe(true);
    expect(sink.paths).toContain('/v1/traces');
  });

  it('sends nothing when export is off', async () => {
    await using sink = await collector();
    const telemetry = createTelemetry({
      service: 'x',
      logFilter: 'off',
      otlpProtocol: 'http/protobuf',
      otlpEndpoint: sink.url,
    });
    telemetry.tracer.startSpan('a').end();
    await telemetry.close();
    expect(sink.bodies).toEqual([]);
  });
});

describe('span export over gRPC', () => {
  it('calls the collector service', async () => {
    const paths: string[] = [];
    const server = createHttp2Server();
    server.on('stream', (stream, headers) => {
      paths.push(String(headers[':path']));
      stream.on('data', () => undefined);
      stream.on('end', () => {
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc' },
          { waitForTrailers: true },
        );
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(Buffer.alloc(5));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const telemetry = createTelemetry({
      service: 'frontend',
      logFilter: 'off',
      otelExportEnabled: true,
      otlpTracesEndpoint: `http://127.0.0.1:${port}`,
    });
    telemetry.tracer.startSpan('a').end();
    await telemetry.close();
    expect(paths).toContain('/opentelemetry.proto.collector.trace.v1.TraceService/Export');
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
});
