/** When a request was sent, in a header of every hop, so that the receiver can tell how long it was on its way. */
const SENT_HEADER = 'x-dynamo-sent-ms';

/** The header for a request that is sent now: Unix milliseconds. */
export function sentHeader(): Readonly<Record<string, string>> {
  return { [SENT_HEADER]: String(Date.now()) };
}

/** Time since the request was sent; undefined when its caller did not tell. Clocks that differ make no negative times. */
export function transitMs(headers: Readonly<Record<string, string>>): number | undefined {
  const sentMs = Number(headers[SENT_HEADER] ?? Number.NaN);
  return Number.isFinite(sentMs) ? Math.max(0, Date.now() - sentMs) : undefined;
}
