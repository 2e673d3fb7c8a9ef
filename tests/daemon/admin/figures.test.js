// What the dashboard reckons. test_dashboard_figures.py runs this, behind the page's own figures.js and documents.js, and
// gives `test` and `assert`.

const KEY = JSON.stringify(["outbound", "hello"]);
const line = (name, labels, value) =>
  `gossipmesh_${name}{${Object.entries({direction: "outbound", service: "hello", method: "GET", ...labels})
    .map(([key, text]) => `${key}="${text}"`).join(",")}} ${value}`;
const text = (total, errors, buckets) => [
  "# HELP gossipmesh_requests_total Requests answered.",
  "# TYPE gossipmesh_requests_total counter",
  line("requests_total", {code: "200", flag: ""}, total - errors),
  line("requests_total", {code: "503", flag: "UH"}, errors),
  ...Object.entries(buckets).map(([le, count]) => line("request_duration_seconds_bucket", {le}, count)),
  line("request_duration_seconds_sum", {}, 1.5),
  "gossipmesh_inflight_requests 3.0", "",
].join("\n");
const reading = (seconds, ...args) => ({at: seconds * 1000, found: parseMetrics(text(...args))});

test("a line is labels and a value, whatever is escaped in it", () => {
  const {labels, value} = parseSample('x{a="1",b="a\\"b\\\\c\\nd}, z=\\"",__proto__="p"} 1.5e+03 1700000000');
  assert.deepEqual([...labels], [["a", "1"], ["b", 'a"b\\c\nd}, z="'], ["__proto__", "p"]]);
  assert.equal(value, 1500);
});

test("requests are counted by direction and service, over methods and codes", () => {
  const found = parseMetrics(`${text(10, 2, {"0.001": 4, "+Inf": 10})}
${line("requests_total", {method: "PUT", code: "404", flag: ""}, 5)}
${line("requests_total", {code: "0", flag: "DC"}, 1)}
${line("requests_total", {code: "403", flag: "AZ"}, 1)}
${line("request_duration_seconds_bucket", {method: "PUT", le: "+Inf"}, 5)}`);
  assert.deepEqual([...found.keys()], [KEY]);
  const {total, errors, buckets} = found.get(KEY);
  assert.deepEqual([total, errors, [...buckets]], [17, 3, [[0.001, 4], [Infinity, 15]]]);
});

test("a rate is what came between the first and the last reading", () => {
  const [row] = ratesOf([reading(0, 10, 0, {"+Inf": 10}), reading(2, 20, 0, {"+Inf": 20}), reading(4, 50, 10, {"+Inf": 50})]);
  assert.deepEqual([row.perSecond, row.errorShare, row.total], [10, 0.25, 50]);
});

test("one reading gives no rate yet", () => {
  const [row] = ratesOf([reading(0, 10, 1, {"+Inf": 10})]);
  assert.deepEqual([row.perSecond, row.errorShare, row.p50, row.total], [null, null, null, 10]);
});

test("a daemon that began anew counts from nothing, also where one of its counters is higher than before", () => {
  const grown = growth([reading(0, 100, 0, {"0.01": 5, "+Inf": 100}), reading(2, 30, 3, {"0.01": 20, "+Inf": 30})], KEY);
  assert.deepEqual([grown.total, grown.errors, [...grown.buckets]], [30, 3, [[0.01, 20], [Infinity, 30]]]);
});

test("a service that is there for the first time is new, and one without requests has no figures", () => {
  const [row] = ratesOf([{at: 0, found: new Map()}, reading(2, 8, 0, {"+Inf": 8})]);
  assert.equal(row.perSecond, 4);
  const [still] = ratesOf([reading(0, 8, 0, {"+Inf": 8}), reading(2, 8, 0, {"+Inf": 8})]);
  assert.deepEqual([still.perSecond, still.errorShare, still.p50], [0, null, null]);
});

test("quantiles lie on straight lines inside of buckets, and say where they cannot be known", () => {
  const buckets = new Map([[0.001, 10], [0.01, 90], [0.1, 98], [Infinity, 100]]);
  assert.equal(quantile(buckets, 0.5).side, "");
  assert.ok(Math.abs(quantile(buckets, 0.5).seconds - 0.0055) < 1e-9);
  assert.deepEqual(quantile(buckets, 0.05), {seconds: 0.001, side: "<"});
  assert.deepEqual(quantile(buckets, 0.99), {seconds: 0.1, side: ">"});
  assert.equal(quantile(new Map(), 0.5), null);
  assert.equal(quantile(new Map([[1, 0], [Infinity, 0]]), 0.5), null);
  assert.deepEqual(quantile(new Map([[Infinity, 4], [0.5, 0], [0.25, 0]]), 0.5), {seconds: 0.5, side: ">"});
});

test("spans are written in their two largest units", () => {
  const spans = [[-1, "0 s"], [59.9, "59 s"], [60, "1 min"], [3599, "59 min"], [3600, "1 h"], [7500, "2 h 5 min"],
    [86399, "23 h 59 min"], [86400, "1 d"], [358000, "4 d 3 h"]];
  for (const [seconds, said] of spans) assert.equal(formatSpan(seconds), said);
});

test("latencies, rates and shares are short, and never say nothing of something", () => {
  assert.equal(formatLatency(null), "–");
  assert.equal(formatLatency({seconds: 0.001, side: "<"}), "< 1 ms");
  assert.equal(formatLatency({seconds: 0.00253, side: ""}), "2.5 ms");
  assert.equal(formatLatency({seconds: 0.1234, side: ""}), "123 ms");
  assert.equal(formatLatency({seconds: 60, side: ">"}), "> 60 s");
  assert.equal(formatLatency({seconds: 1.26, side: ""}), "1.3 s");
  assert.deepEqual([null, 0, 0.034, 3.14, 14.4].map(formatRate), ["–", "0", "0.03", "3.1", "14"]);
  assert.deepEqual([null, 0, 0.0001, 0.125, 0.9999, 1].map(formatShare), ["–", "0 %", "< 0.1 %", "12.5 %", "> 99.9 %", "100 %"]);
});

test("of a document only the known keys are read, with the types that they have", () => {
  const shape = {name: "", n: 0, list: [{a: ""}], ok: true};
  assert.deepEqual(shaped(shape, {name: "x", n: "7", list: [{a: "b", c: 1}, null], ok: false, more: 1}),
    {name: "x", n: 0, list: [{a: "b"}, {a: ""}], ok: false});
  assert.deepEqual(shaped(shape, null), {name: "", n: 0, list: [], ok: true});
});
