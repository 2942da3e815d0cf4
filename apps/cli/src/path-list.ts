import { option } from '@dynamo-ts/config';
import type { Option, OptionSpec } from '@dynamo-ts/config';

/** An option of several paths: the flag repeats; a comma is part of a path. */
export function pathList(spec: OptionSpec): Option<readonly string[]> {
  return { ...option.list(spec), placeholder: 'PATH', parse: pathOf };
}

function pathOf(text: string): readonly string[] {
  if (text === '') throw new Error('expected a path');
  return [text];
}
