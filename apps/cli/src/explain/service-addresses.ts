/** Where a service of this machine may be listening, as its flags and environment say. */
export interface ServiceAddressOptions {
  /** Wins over all that follows. */
  readonly url: string | undefined;
  readonly httpHost: string;
  readonly httpPort: number;
  readonly systemPort: number;
}

const LOOPBACK = '127.0.0.1';
/** What a server listens on to be reached by every address. */
const WILDCARDS: readonly string[] = ['0.0.0.0', '::', '[::]'];

/** Addresses to ask, the likeliest first; none when every port was left to the system. */
export function serviceAddresses(options: ServiceAddressOptions): readonly string[] {
  const { url, httpHost, httpPort, systemPort } = options;
  if (url !== undefined) return [(url.includes('://') ? url : `http://${url}`).replace(/\/+$/, '')];
  return [
    ...(httpPort > 0 ? [`http://${hostOf(httpHost)}:${httpPort}`] : []),
    ...(systemPort > 0 ? [`http://${LOOPBACK}:${systemPort}`] : []),
  ];
}

function hostOf(host: string): string {
  if (WILDCARDS.includes(host)) return LOOPBACK;
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}
