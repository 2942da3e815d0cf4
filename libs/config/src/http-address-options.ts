import { option, optionGroup } from './option.ts';

/** Where the frontend listens: it reads this itself, and so do the commands that look for it. */
export const HTTP_ADDRESS_OPTIONS = optionGroup('HTTP', {
  httpHost: option.string({
    flag: 'http-host',
    aliases: ['host'],
    env: 'DYN_HTTP_HOST',
    default: '0.0.0.0',
    help: 'Address to listen on.',
  }),
  httpPort: option.integer({
    flag: 'http-port',
    aliases: ['port'],
    env: 'DYN_HTTP_PORT',
    min: 0,
    max: 65_535,
    default: 8000,
    help: 'Port to listen on; 0 takes any free port.',
  }),
});
