const REQUESTS = 200;

/** Milliseconds from a client's leaving in mid-stream until the worker has no request in flight. */
export async function disconnects(url: string, worker: string): Promise<readonly number[]> {
  const durations: number[] = [];
  for (let index = 0; index < REQUESTS; index += 1) {
    const controller = new AbortController();
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'mocker', prompt: 'Hello', max_tokens: 2000, stream: true }),
      signal: controller.signal,
    });
    await response.body?.getReader().read();
    if ((await inFlight(worker)) !== 1) throw new Error('the request is not on the worker');
    const left = performance.now();
    controller.abort();
    while ((await inFlight(worker)) > 0);
    durations.push(performance.now() - left);
  }
  return durations;
}

/** Requests that run on the worker's generate endpoint, by its own metrics. */
async function inFlight(worker: string): Promise<number> {
  const text = await (await fetch(`${worker}/metrics`)).text();
  const line = /dynamo_component_inflight_requests\{[^}]*dynamo_endpoint="generate"[^}]*\} (\S+)/;
  return Number(line.exec(text)?.[1] ?? 0);
}
