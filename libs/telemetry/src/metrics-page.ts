/** Appends one Prometheus page to another, leaving out metrics that the first has: Prometheus rejects a page that names one twice. */
export function appendPage(page: string, addition: string): string {
  const known = new Set([...page.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]));
  let skipping = false;
  const kept = addition.split('\n').filter((line) => {
    const header = /^# (?:HELP|TYPE) (\S+)/.exec(line);
    if (header !== null) skipping = known.has(header[1]);
    return !skipping && line !== '';
  });
  return kept.length === 0 ? page : `${page.replace(/\n*$/, '\n')}${kept.join('\n')}\n`;
}
