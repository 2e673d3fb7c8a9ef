// What is asked of the daemon, and what of its answers is read.

// The keys that this page reads, and a value of the type that each has: what is not here, no other part can see, for
// `shaped` leaves it out. Written as JSON: a test compares it with the shapes that the daemon declares.
const SHAPES = {
  "/v1/status": {
    "name": "", "id": "", "version": "", "uptime_s": 0, "address": "", "agreement": 0, "awareness": 0,
    "policy_version": 0, "members": {"alive": 0, "suspect": 0, "dead": 0, "left": 0}, "chain_expires_at": 0, "clones": [""],
    "services": [{"name": "", "port": 0, "state": "", "reason": ""}]
  },
  "/v1/members": {
    "members": [{
      "name": "", "id": "", "address": "", "state": "", "serving": "", "zone": "", "services": [""],
      "since": 0, "policy_version": 0
    }]
  },
  "/v1/services": {"services": [{"name": "", "endpoints": 0, "healthy": 0}]},
  "/v1/services/NAME": {
    "endpoints": [{"node": "", "id": "", "address": "", "weight": 0, "tags": [""], "healthy": true, "reason": ""}]
  },
  "/v1/check": {"checks": [{"name": "", "state": "", "found": "", "hint": ""}]}
};
const METRICS = "/metrics";
const EVENTS = "/v1/events?types=services,members";
const ANSWER_TIMEOUT_MS = 8000;

// Gives a value with the keys and types of a shape and no others, whatever came: text from other members stays text.
function shaped(shape, value) {
  if (Array.isArray(shape)) return Array.isArray(value) ? value.map((each) => shaped(shape[0], each)) : [];
  if (typeof shape !== "object") return typeof value === typeof shape ? value : shape;
  const given = Object(value);
  return Object.fromEntries(Object.keys(shape).map((key) => [key, shaped(shape[key], given[key])]));
}

// The daemon answered, and not with what was asked for: it is there all the same.
class Refusal extends Error {}
// Nobody answered, or not in time.
class Silence extends Error {}

// Gives the text of an answer. Throws Refusal or Silence.
async function ask(path) {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  let answer, text;
  try {
    answer = await fetch(path, {signal, credentials: "omit", redirect: "error"});
    text = await answer.text();
  } catch (error) {
    throw new Silence(error.message);
  }
  if (!answer.ok) throw new Refusal(`${path}: ${answer.status} ${text.slice(0, 200)}`);
  return text;
}

// Gives the document at a path of SHAPES, whose NAME `name` stands in for; of another path, the text.
async function askFor(path, name) {
  const text = await ask(path.replace("NAME", () => encodeURIComponent(name)));
  return path in SHAPES ? shaped(SHAPES[path], JSON.parse(text)) : text;
}

// Gives what an event about one of a list says: the same as that list's document does.
function eventOf(path, list, data) {
  return shaped(SHAPES[path][list][0], JSON.parse(data));
}
