/** What the banner tells. */
export interface BannerFacts {
  readonly models: readonly string[];
  readonly port: number;
  readonly workers: number;
  readonly engine: string;
  readonly routerMode: string;
  readonly startedInMs: number;
  readonly processIds: ReadonlyMap<string, number>;
}

/** The text that says that clients can come, with a command to try it. */
export function renderBanner(facts: BannerFacts): string {
  const [model = ''] = facts.models;
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: 'Hello!' }],
    max_tokens: 64,
    stream: true,
  });
  const url = `http://localhost:${facts.port}`;
  const workers = `${facts.workers} ${facts.engine} worker${facts.workers === 1 ? '' : 's'}`;
  const processes = [...facts.processIds].map(([name, pid]) => `${name} ${pid}`).join(', ');
  return [
    `dynamo is ready at ${url} after ${(facts.startedInMs / 1000).toFixed(1)} s: ${facts.models.join(', ')} on ${workers}, ${facts.routerMode}`,
    ...(processes === '' ? [] : [`processes: ${processes}`]),
    '',
    `  curl -N ${url}/v1/chat/completions -H 'content-type: application/json' -d '${shellQuoted(body)}'`,
    '',
    'Ctrl-C stops it.',
    '',
  ].join('\n');
}

/** For use between single quotes. */
function shellQuoted(text: string): string {
  return text.replaceAll("'", String.raw`'\''`);
}
