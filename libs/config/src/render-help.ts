import type { Option, Options } from './option.ts';

/** Heading of options that name no group. */
const UNGROUPED = 'Options';
const WIDTH = 100;
const INDENT = ' '.repeat(6);

/** The text of `--help`: options by group, each with flag, environment name and default. */
export function renderHelp(
  options: Options,
  about: { readonly command: string; readonly words?: string; readonly summary: string },
): string {
  const visible = Object.values(options).filter((option) => option.hidden !== true);
  const sections = [...groupOptions(visible)].map(
    ([group, members]) => `${group}:\n${members.map(renderOption).join('\n')}`,
  );
  const words = about.words === undefined ? '' : ` ${about.words}`;
  return `${about.summary}\n\nUsage: ${about.command}${words} [flags]\n\n${sections.join('\n\n')}\n`;
}

/** Options by heading, in order of first appearance. */
export function groupOptions(
  options: readonly Option<unknown>[],
): ReadonlyMap<string, readonly Option<unknown>[]> {
  return Map.groupBy(options, (option) => option.group ?? UNGROUPED);
}

function renderOption(option: Option<unknown>): string {
  const names = [
    ...(option.short === undefined ? [] : [`-${option.short}`]),
    ...[option.flag, ...(option.aliases ?? [])].map((name) => `--${name}`),
  ].join(', ');
  const value = option.placeholder === undefined ? '' : ` ${option.placeholder}`;
  const repeat = option.repeatable ? ' (repeatable)' : '';
  const facts = [
    ...(option.env === undefined ? [] : [`env ${option.env}`]),
    ...(option.fallbackText === undefined || option.fallbackText === 'false'
      ? []
      : [`default ${option.fallbackText}`]),
  ];
  const text = facts.length === 0 ? option.help : `${option.help} [${facts.join(', ')}]`;
  return `  ${names}${value}${repeat}\n${wrap(text)}`;
}

function wrap(text: string): string {
  const lines: string[] = [];
  let line = INDENT;
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > WIDTH && line !== INDENT) {
      lines.push(line);
      line = INDENT;
    }
    line += line === INDENT ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
}
