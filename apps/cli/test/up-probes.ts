/** What the tests of `dynamo up` ask of a system and of its processes. */

/** Whether a process is there. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Asks the endpoint for a short answer. */
export async function complete(url: string): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'mocker', prompt: 'Hello', max_tokens: 4 }),
  });
}
