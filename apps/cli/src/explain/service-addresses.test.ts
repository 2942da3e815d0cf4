import { expect, it } from 'vitest';

import { serviceAddresses } from './service-addresses.ts';

const DEFAULTS = { url: undefined, httpHost: '127.0.0.1', httpPort: 8000, systemPort: -1 };

it.each([
  [{}, ['http://127.0.0.1:8000']],
  [{ httpHost: '0.0.0.0', httpPort: 18_000 }, ['http://127.0.0.1:18000']],
  [{ httpHost: '::1', systemPort: 9090 }, ['http://[::1]:8000', 'http://127.0.0.1:9090']],
  [{ httpPort: 0, systemPort: 9090 }, ['http://127.0.0.1:9090']],
  [{ httpPort: 0 }, []],
  [{ url: 'host:1/', systemPort: 9090 }, ['http://host:1']],
])('finds what was configured with %j', (given, addresses) =>
  expect(serviceAddresses({ ...DEFAULTS, ...given })).toEqual(addresses),
);
