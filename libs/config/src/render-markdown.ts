import type { Option, Options } from './option.ts';
import { groupOptions } from './render-help.ts';

/** Tables of all options by group, for docs/CONFIG.md. */
export function renderMarkdown(options: Options): string {
  return [...groupOptions(Object.values(options))]
    .map(([group, members]) => `### ${group}\n\n${table(members)}`)
    .join('\n\n');
}

function table(options: readonly Option<unknown>[]): string {
  const rows = options.map((option) => {
    const flags = [option.flag, ...(option.aliases ?? [])].map((name) => flagText(option, name));
    const names = [option.env, ...(option.envAliases ?? [])].filter((name) => name !== undefined);
    return `| ${flags.join(', ')} | ${names.map(code).join(', ')} | ${option.fallbackText === undefined ? '' : code(option.fallbackText)} | ${cell(option.help)} |`;
  });
  return `| flag | environment | default | meaning |\n|---|---|---|---|\n${rows.join('\n')}`;
}

function flagText(option: Option<unknown>, name: string): string {
  const value = option.placeholder === undefined ? '' : ` ${option.placeholder}`;
  return code(cell(`--${name}${value}`));
}

function code(text: string): string {
  return `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
