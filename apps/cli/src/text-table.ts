/** How a column stands. */
export type Alignment = 'left' | 'right';

/** Rows of text under headings, in columns two spaces apart. Columns stand right but for the first two, unless told otherwise. */
export function renderTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  alignments: readonly Alignment[] = ['left', 'left'],
): string {
  const lines = headings.length === 0 ? rows : [headings, ...rows];
  const columns = Math.max(0, ...lines.map((line) => line.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => aligned(cell, widths[column] ?? 0, alignments[column] ?? 'right'))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function aligned(text: string, width: number, alignment: Alignment): string {
  return alignment === 'left' ? text.padEnd(width) : text.padStart(width);
}
