import { describe, expect, it } from 'vitest';

import { HealthState } from './health-state.ts';
import { nullLogger } from './logger.ts';
import { MetricsRegistry } from './metrics-registry.ts';
import { SystemServer } from './system-server.ts';

async function listen(health = new HealthState(), port = 0) {
  const metrics = new MetricsRegistry();
  const server = await SystemServer.listen({
    health,
    metrics,
    port,
    logger: nullLogger,
    host: '127.0.0.1',
  });
  const get = async (path: string, method = 'GET') =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  return { server, metrics, get, health };
}

describe('SystemServer', () => {
  it('answers 503 until an endpoint is served and 200 after', async () => {
    const { server, get, health } = await listen();
    await using _closing = server;
    const before = await get('/health');
    expect(before.status).toBe(503);
    const body = (await before.json()) as { uptime: { secs: number; nanos: number } };
    expect(body).toMatchObject({ status: 'notready', endpoints: {} });
    expect(Number.isInteger(body.uptime.secs) && Number.isInteger(body.uptime.nanos)).toBe(true);
    health.setEndpoint('generate', 'ready');
    const after = await get('/live');
    expect(after.status).toBe(200);
    expect(await after.json()).toMatchObject({ status: 'ready', endpoints: { generate: 'ready' } });
  });

  it('serves what its owner adds', async () => {
    await using server = await SystemServer.listen({
      health: new HealthState(),
      metrics: new MetricsRegistry(),
      port: 0,
      logger: nullLogger,
      host: '127.0.0.1',
      pages: async (url) =>
        Promise.resolve(url === '/more?x=1' ? { status: 202, json: '{"a":1}' } : undefined),
    });
    const get = async (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`);
    const found = await get('/more?x=1');
    expect([found.status, await found.json()]).toEqual([202, { a: 1 }]);
    expect((await get('/else')).status).toBe(404);
  });

  it('does what its owner lets it be told', async () => {
    await using server = await SystemServer.listen({
      health: new HealthState(),
      metrics: new MetricsRegistry(),
      port: 0,
      logger: nullLogger,
      host: '127.0.0.1',
      actions: async ({ url, body }) =>
        Promise.resolve(url === '/do' ? { status: 200, json: `{"told":${body}}` } : undefined),
    });
    const tell = async (path: string, body: string) =>
      fetch(`http://127.0.0.1:${server.port}${path}`, { method: 'POST', body });
    expect(await (await tell('/do', '[1]')).json()).toEqual({ told: [1] });
    expect((await tell('/else', '')).status).toBe(404);
    expect((await tell('/do', ' '.repeat(65 * 1024))).status).toBe(413);
  });

  it('serves metrics as Prometheus text', async () => {
    const { server, get, metrics } = await listen();
    await using _closing = server;
    metrics.counter({ name: 'x_total', help: 'h' }).inc();
    const response = await get('/metrics');
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await response.text()).toContain('x_total 1');
  });

  it.each([
    ['GET', '/nope'],
    ['GET', '/'],
    ['POST', '/health'],
  ])('answers %s %s with 404 and a sentence', async (method, path) => {
    const { server, get } = await listen();
    await using _closing = server;
    const response = await get(path, method);
    expect(response.status).toBe(404);
    expect(await response.text()).toBe('Route not found');
  });

  it('tells that a port is taken in one clear error', async () => {
    const { server } = await listen();
    await using _closing = server;
    const second = listen(undefined, server.port);
    await expect(second).rejects.toMatchObject({ code: 'config.port_in_use' });
    await expect(second).rejects.toThrow(/DYN_SYSTEM_PORT/);
  });

  it('starts nothing on a negative port, and closes twice without harm', async () => {
    const { server } = await listen(undefined, -1);
    expect(server.port).toBeUndefined();
    await server.close();
    const other = (await listen()).server;
    await other.close();
    await other.close();
  });
});

describe('HealthState', () => {
  it('starts as configured', () => {
    expect(new HealthState({ startingStatus: 'ready' }).snapshot().status).toBe('ready');
  });

  it('counts only probed endpoints when there are any', () => {
    const health = new HealthState();
    health.setEndpoint('generate', 'notready', { probed: true });
    health.setEndpoint('files', 'ready');
    expect(health.snapshot().status).toBe('notready');
    health.setEndpoint('generate', 'ready');
    health.setEndpoint('files', 'notready');
    expect(health.snapshot()).toEqual({
      status: 'ready',
      endpoints: { generate: 'ready', files: 'notready' },
    });
  });

  it('is not ready again when its endpoints are gone or it closes', () => {
    const health = new HealthState();
    health.setEndpoint('generate', 'ready');
    health.removeEndpoint('generate');
    expect(health.snapshot().status).toBe('notready');
    health.setEndpoint('generate', 'ready');
    health.markClosing();
    expect(health.snapshot().status).toBe('notready');
  });
});
