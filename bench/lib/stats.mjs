// Numbers about numbers.

/** The value below which the share `q` (0…1) of sorted values lies. */
export function quantile(sorted, q) {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

export const sorted = (values) => Float64Array.from(values).sort();

export const median = (values) => quantile(sorted(values), 0.5);

/** Median, smallest and largest. */
export function summary(values) {
  const ordered = sorted(values);
  return { median: quantile(ordered, 0.5), min: ordered[0], max: ordered[ordered.length - 1] };
}

/** The slope of the line of least squares through points `[x, y]`. */
export function slope(points) {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return above / below;
}
