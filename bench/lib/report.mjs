// How results are shown.

/** A number with as many digits as say something. */
export function show(value) {
  if (value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  const digits = size >= 100 || value === 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export const target = ({ least, most, unit }) =>
  least !== undefined ? `≥ ${show(least)} ${unit}` : most !== undefined ? `≤ ${most} ${unit}` : "";

export function met({ least, most }, value) {
  if (least === undefined && most === undefined) return undefined;
  return least !== undefined ? value >= least : value <= most;
}

const verdict = (is) => (is === undefined ? "" : is ? "yes" : "NO");

/** Lines of a Markdown table whose columns line up. */
export function table(rows, numeric = () => false) {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const line = (row) =>
    `| ${row.map((cell, column) => (numeric(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join(" | ")} |`;
  const rule = widths.map((width, column) => (numeric(column) ? `${"-".repeat(width - 1)}:` : "-".repeat(width)));
  return [line(rows[0]), line(rule), ...rows.slice(1).map(line)].join("\n");
}

export function machineLine({ cpu, cores, memoryGiB, os, node }) {
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${os}, Node ${node}`;
}

/** The table of one result. */
export function resultTable(result) {
  const { baseline } = result;
  const head = ["what", "unit", "median", "min", "max", ...(baseline ? ["against", "ratio"] : []), "target", "met"];
  const rows = result.metrics.map((metric) => [
    metric.label,
    metric.unit,
    show(metric.median),
    show(metric.min),
    show(metric.max),
    ...(baseline ? [show(metric.against), show(metric.ratio)] : []),
    target(metric),
    verdict(metric.met),
  ]);
  return table([head, ...rows], (column) => column >= 2 && column <= (baseline ? 6 : 4));
}

/** One result, with the circumstances of its runs. */
export function section(result) {
  const others = result.others === undefined ? "" : `, other programs used ${show(result.others)} cores`;
  const disturbed = result.repeated ? `, ${result.repeated} disturbed runs repeated` : "";
  const heading = `${result.name}: ${result.title}`;
  return `${heading}\n${result.runs} runs, load average ${result.load.toFixed(2)} at the start${others}${disturbed}\n\n${resultTable(result)}\n`;
}
