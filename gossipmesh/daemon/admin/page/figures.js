// What is reckoned from the daemon's answers, and how figures are written. Nothing here knows the page or the clock, so
// that it can be tested alone (tests/daemon/admin/figures.test.js).

const REQUESTS = "gossipmesh_requests_total{";
const BUCKETS = "gossipmesh_request_duration_seconds_bucket{";
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const NONE = {total: 0, errors: 0, buckets: new Map()};

// Gives the labels (a Map, for their names are not ours) and the value of a line of the Prometheus text format.
function parseSample(line) {
  const end = line.lastIndexOf("}");
  const labels = new Map();
  for (const [, name, raw] of line.slice(line.indexOf("{"), end).matchAll(LABEL)) {
    labels.set(name, raw.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter)));
  }
  return {labels, value: Number(line.slice(end + 1).trim().split(" ")[0])};
}

// Tells whether requests of such labels failed: 5xx of whomever, and what the mesh did not let through or could not
// deliver (x-gossipmesh-error). That a caller went away (DC) says nothing of the service.
function isError(labels) {
  return (labels.get("code") ?? "").startsWith("5") || !["", "DC"].includes(labels.get("flag") ?? "");
}

// Gives what was counted since the daemon began, by direction and service: {direction, service, total, errors, buckets},
// where buckets has how many took at most so many seconds, by these seconds.
function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const isBucket = line.startsWith(BUCKETS);
    if (!isBucket && !line.startsWith(REQUESTS)) continue;
    const {labels, value} = parseSample(line);
    const direction = labels.get("direction") ?? "", service = labels.get("service") ?? "";
    const key = JSON.stringify([direction, service]);
    if (!found.has(key)) found.set(key, {direction, service, total: 0, errors: 0, buckets: new Map()});
    const entry = found.get(key);
    if (isBucket) {
      const bound = labels.get("le") === "+Inf" ? Infinity : Number(labels.get("le"));
      entry.buckets.set(bound, (entry.buckets.get(bound) ?? 0) + value);
    } else {
      entry.total += value;
      if (isError(labels)) entry.errors += value;
    }
  }
  return found;
}

// Gives what was counted of one service from the first reading to the last. Counters only fall when the daemon began
// anew: then all that it counts now is new, of every counter at once. What is there for the first time is new too.
function growth(readings, key) {
  const sum = {total: 0, errors: 0, buckets: new Map()};
  for (let each = 1; each < readings.length; each++) {
    const now = readings[each].found.get(key) ?? NONE;
    const before = readings[each - 1].found.get(key) ?? NONE;
    const from = now.total < before.total ? NONE : before;
    sum.total += now.total - from.total;
    sum.errors += Math.max(0, now.errors - from.errors);
    for (const [bound, count] of now.buckets) {
      const more = Math.max(0, count - (from.buckets.get(bound) ?? 0));
      sum.buckets.set(bound, (sum.buckets.get(bound) ?? 0) + more);
    }
  }
  return sum;
}

// Gives a quantile in seconds, as Prometheus does: straight lines inside of a bucket. `side` is "<" where it is in the
// lowest bucket, and ">" where it is above the highest bound: there the bound is all that is known. null: no requests.
function quantile(buckets, share) {
  const sorted = [...buckets].sort(([one], [other]) => one - other);
  const total = sorted.length ? sorted[sorted.length - 1][1] : 0;
  if (!total) return null;
  const rank = share * total;
  const at = sorted.findIndex(([, count]) => count >= rank);
  const [bound, count] = sorted[at];
  const [low, under] = at ? sorted[at - 1] : [0, 0];
  if (bound === Infinity) return {seconds: low, side: ">"};
  if (!at) return {seconds: bound, side: "<"};
  return {seconds: low + ((bound - low) * (rank - under)) / (count - under), side: ""};
}

// Gives a row for each service and direction of the newest reading. `readings`: {at, found}, the oldest first, `at` in
// milliseconds. With one reading there are no rates yet: they are null.
function ratesOf(readings) {
  const newest = readings[readings.length - 1];
  const seconds = (newest.at - readings[0].at) / 1000;
  return [...newest.found].map(([key, {direction, service, total}]) => {
    const grown = growth(readings, key);
    return {
      key, direction, service, total,
      perSecond: seconds > 0 ? grown.total / seconds : null,
      errorShare: grown.total ? grown.errors / grown.total : null,
      p50: quantile(grown.buckets, 0.5),
      p99: quantile(grown.buckets, 0.99),
    };
  });
}

// Gives a time span in its two largest units: "12 s", "3 min", "2 h 5 min", "4 d 3 h".
function formatSpan(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  const [big, small, unit, rest] = whole < 86400 ? [3600, 60, "h", "min"] : [86400, 3600, "d", "h"];
  const left = Math.floor((whole % big) / small);
  return `${Math.floor(whole / big)} ${unit}${left ? ` ${left} ${rest}` : ""}`;
}

function formatLatency(found) {
  if (found === null) return "–";
  const {seconds, side} = found;
  const ms = seconds * 1000;
  const text = seconds >= 1 ? `${+seconds.toFixed(1)} s` : `${+ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  return side ? `${side} ${text}` : text;
}

function formatRate(perSecond) {
  if (perSecond === null) return "–";
  return perSecond && perSecond < 10 ? perSecond.toFixed(perSecond < 0.1 ? 2 : 1) : Math.round(perSecond).toLocaleString();
}

// Never says 0 % of what is not nothing, nor 100 % of what is not all.
function formatShare(share) {
  if (share === null) return "–";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${+(share * 100).toFixed(1)} %`;
}
