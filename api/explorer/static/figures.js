// Figures as text, formatted as by the server (services/system/quantities.py), and the figures of a round.

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]];

export function span(seconds) {
  const [, unit, name] = STEPS.find(([bound]) => seconds < bound);
  return `${Math.round(seconds / unit)} ${name}`;
}

export function timeLeft(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  for (const [most, unit, name] of [[120, 1, "s"], [7200, 60, "min"], [172800, 3600, "h"]]) {
    if (seconds < most) return `${Math.round(seconds / unit)} ${name}`;
  }
  return `${Math.round(seconds / 86400).toLocaleString("en")} d`;
}

function scaled(value, units, unit) {
  for (const [name, factor] of units) {
    const scale = value / factor;
    if (scale >= 999.5) return `${Math.round(scale).toLocaleString("en")} ${name}`;
    if (scale >= 1) return `${Number(scale.toPrecision(3))} ${name}`;
  }
  return `${Math.round(value).toLocaleString("en")} ${unit}`.trim();
}
export const hashes = (value) => scaled(value, [["T", 1e12], ["G", 1e9], ["M", 1e6]], "");
export const rate = (value) => scaled(value, [["TH/s", 1e12], ["GH/s", 1e9], ["MH/s", 1e6], ["kH/s", 1e3]], "H/s");

export const percent = (share) => (share >= 0.995 ? "over 99%" : `${Math.round(100 * share)}%`);

// A round as `/status` and `/rounds/ID` give it, with its workers as in an event.
export function asEvent(round) {
  return {
    ...round,
    workers: Object.fromEntries(round.workers.map((item) => [item.name, item.hashes])),
    rates: Object.fromEntries(round.workers.map((item) => [item.name, item.rate])),
  };
}
