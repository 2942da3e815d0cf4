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

/** Asks for a short answer to a prompt and says what was cached and who decided. */
export async function completeWith(
  url: string,
  prompt: string,
): Promise<{ readonly cachedTokens: number; readonly decisionId: string }> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'mocker', prompt, max_tokens: 4 }),
  });
  const { usage } = (await response.json()) as {
    usage: { prompt_tokens_details: { cached_tokens: number } };
  };
  return {
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    decisionId: response.headers.get('x-dynamo-decision-id') ?? '',
  };
}
