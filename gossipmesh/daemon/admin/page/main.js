// The page: asks one thing after the other, follows the events, and shows what it has.

const LOOK_MS = 500; // Between two looks at what is due.
const DRAW_MS = 1_000; // Between two times that the tables are drawn, however much changes.
const RETRY_MS = 2_000;
const REST = 20; // After an answer that took long one waits so many times as long: the daemon has other work.
const FOLLOW_AGAIN_MS = 15_000; // After a refusal: all places for those who wait are taken.
const UNFOLLOWED_MS = 4_000;
const FOLLOWED_MS = 60_000; // Events tell what changes; that often everything is compared anew.
const MAX_READINGS = 5;
const OLD_READING_MS = 60_000;
const MAX_ENDPOINTS = 200; // Listed of one service.
const CHAIN_SOON_S = 7 * 86400;
const RANKS = ["dead", "suspect", "alive", "left"];
const MARKS = new Map(Object.entries({
  alive: "good", suspect: "warn", dead: "bad", left: "off", healthy: "good", unhealthy: "bad", ok: "good", fail: "bad",
}));

const at = (id) => document.getElementById(id);
const markOf = (state) => MARKS.get(state) ?? "warn";
const nowS = () => Date.now() / 1000;
const known = {
  self: {id: "", name: "gossipmesh"}, members: new Map(), services: new Map(), readings: [], open: "", reached: true,
  answeredAt: new Date(), changed: false, events: null, followed: false, followAt: 0, drawAt: 0, round: 0, timer: 0,
};
const opened = element("tr", {className: "detail", role: "row"});

const tables = {
  services: new Table(at("services"), [
    {title: "Service", text: (row) => row.name},
    {title: "Endpoints", order: healthShare, mark: healthMark,
      text: ({healthy, endpoints}) => `${healthy} of ${endpoints} healthy`},
  ], "Nobody offers a service.", {
    opened: (key) => (key === known.open ? opened : null),
    toggled: (key) => openService(key === known.open ? "" : key),
  }),
  requests: new Table(at("requests"), [
    {title: "Service", text: (row) => row.service || "(no such service)"},
    {title: "Way", text: (row) => row.direction.replace("bound", "")},
    {title: "Per second", number: true, text: (row) => formatRate(row.perSecond), order: (row) => row.perSecond},
    {title: "Errors", number: true, text: (row) => formatShare(row.errorShare), order: (row) => row.errorShare,
      mark: (row) => (row.errorShare ? "bad" : "")},
    {title: "p50", number: true, text: (row) => formatLatency(row.p50), order: (row) => row.p50?.seconds},
    {title: "p99", number: true, text: (row) => formatLatency(row.p99), order: (row) => row.p99?.seconds},
    {title: "In all", number: true, text: (row) => row.total.toLocaleString(), order: (row) => row.total},
  ], "No requests yet."),
  members: new Table(at("members"), [
    {title: "Name", text: (row) => (row.id === known.self.id ? `${row.name} (this node)` : row.name)},
    {title: "State", text: (row) => row.state, order: (row) => RANKS.indexOf(row.state), mark: (row) => markOf(row.state)},
    {title: "Serving", text: (row) => row.serving, mark: (row) => (row.serving === "serving" ? "" : "warn")},
    {title: "Address", text: (row) => row.address},
    {title: "Zone", text: (row) => row.zone || "–"},
    {title: "Services", text: (row) => row.services.join(", ") || "–"},
    {title: "For", number: true, text: (row) => formatSpan(nowS() - row.since), order: (row) => -row.since},
    {title: "Policy", number: true, text: (row) => String(row.policy_version || "none"), order: (row) => row.policy_version},
  ], "No members yet."),
};

function healthShare({healthy, endpoints}) {
  return endpoints ? healthy / endpoints : 0;
}

function healthMark(row) {
  return row.healthy === row.endpoints ? "good" : row.healthy ? "warn" : "bad";
}

// --- What is shown of each answer.

function fact(name, text, mark = "") {
  const said = element("dd", {text});
  setMark(said, mark);
  return element("div", {}, element("dt", {text: name}), said);
}

function showStatus(status) {
  known.self = status;
  const left = status.chain_expires_at - nowS();
  const counts = Object.entries(status.members).filter(([, count]) => count);
  const until = new Date(status.chain_expires_at * 1000).toLocaleString([], {dateStyle: "medium"});
  at("node").replaceChildren(
    fact("Version", status.version),
    fact("Address", status.address),
    fact("Members", counts.map(([state, count]) => `${count} ${state}`).join(", "),
      status.members.suspect + status.members.dead ? "warn" : "good"),
    fact("Up for", formatSpan(status.uptime_s)),
    fact("Agrees with", `${formatShare(status.agreement)} of the others`, status.agreement < 1 ? "warn" : "good"),
    fact("Doubts itself", status.awareness ? `${status.awareness} of 8` : "not at all", status.awareness ? "warn" : "good"),
    fact("Policy", status.policy_version ? `version ${status.policy_version}` : "none"),
    fact("Chain expires", left > 0 ? `${until}, in ${formatSpan(left)}` : `expired ${until}`,
      left <= 0 ? "bad" : left < CHAIN_SOON_S ? "warn" : ""),
    ...status.services.map(({name, port, state, reason}) =>
      fact(`Own service ${name}`, `port ${port}: ${state}${reason ? `, ${reason}` : ""}`, markOf(state))),
  );
  at("clones").hidden = !status.clones.length;
  setText(at("clones"), `Keys are in use twice: two different records of one version were seen of ${status.clones.join(", ")}`);
  setText(at("name"), status.name);
  known.changed = true; // The table of members says for how long, and which of them this node is.
}

function showCheck({checks}) {
  const wrong = checks.filter(({state}) => state !== "ok");
  setText(at("check-count"), wrong.length ? `${wrong.length} of ${checks.length} want attention` : "");
  const found = wrong.map(({name, state, found, hint}) => element("li", {},
    element("span", {text: `${state} · ${name}: ${found}`, "data-mark": markOf(state)}),
    ...(hint ? [element("p", {className: "hint", text: hint})] : [])));
  const well = element("li", {text: `All ${checks.length} checks are well.`, "data-mark": "good"});
  at("check").replaceChildren(...(found.length ? found : [well]));
}

function showMembers({members}) {
  known.members = new Map(members.map((each) => [each.id, each]));
  known.changed = true;
}

function showServices({services}) {
  known.services = new Map(services.map((each) => [each.name, each]));
  known.changed = true;
}

function showMetrics(text) {
  const reading = {at: performance.now(), found: parseMetrics(text)};
  const newer = known.readings.filter((each) => reading.at - each.at < OLD_READING_MS);
  known.readings = [...newer, reading].slice(-MAX_READINGS);
  tables.requests.show(ratesOf(known.readings));
}

function showEndpoints({endpoints}) {
  // What is wrong goes first: that is what one opens a service for.
  const sorted = endpoints.sort((one, other) => one.healthy - other.healthy || collator.compare(one.node, other.node));
  const lines = sorted.slice(0, MAX_ENDPOINTS).map(({node, address, weight, tags, healthy, reason}) => {
    const more = [`weight ${weight}`, ...tags].join(", ");
    const text = `${node} (${address}; ${more}): ${healthy ? "healthy" : `not healthy: ${reason}`}`;
    return element("li", {text, "data-mark": healthy ? "good" : "bad"});
  });
  if (sorted.length > lines.length) lines.push(element("li", {text: `and ${sorted.length - lines.length} more`}));
  showDetail(element("ul", {className: "plain"}, ...lines));
}

function showDetail(inner) {
  opened.replaceChildren(element("td", {role: "cell", colspan: "2"}, inner));
}

function openService(name) {
  known.open = name;
  showDetail(element("p", {className: "empty", text: "Asking …"}));
  jobs.endpoints.due = 0;
  tables.services.draw();
}

function drawTables() {
  known.changed = false;
  known.drawAt = performance.now() + DRAW_MS;
  const {members, services} = known;
  tables.members.show([...members.values()].map((each) => ({...each, key: each.id})));
  tables.services.show([...services.values()].map((each) => ({...each, key: each.name})));
}

// --- The event stream: one place at the daemon, while the page is looked at.

function follow() {
  const events = new EventSource(EVENTS);
  known.events = events;
  events.onopen = () => { known.followed = true; };
  // The first word of a stream, or that what was missed is too much: what there is has to be read anew.
  events.addEventListener("reset", () => { jobs.members.due = jobs.services.due = 0; });
  events.addEventListener("members", ({data}) => {
    const entry = eventOf("/v1/members", "members", data);
    if (entry.state === "forgotten") known.members.delete(entry.id);
    else known.members.set(entry.id, entry);
    known.changed = true;
  });
  events.addEventListener("services", ({data}) => {
    const entry = eventOf("/v1/services", "services", data);
    if (entry.endpoints) known.services.set(entry.name, entry);
    else known.services.delete(entry.name);
    if (entry.name === known.open) jobs.endpoints.due = 0;
    known.changed = true;
  });
  events.onerror = () => {
    known.followed = false;
    // Otherwise the browser connects anew by itself, and says what it had last.
    if (events.readyState === EventSource.CLOSED) {
      unfollow();
      known.followAt = performance.now() + FOLLOW_AGAIN_MS;
    }
  };
}

function unfollow() {
  known.events?.close();
  known.events = null;
  known.followed = false;
}

// --- The round: what is due is asked, one after the other.

const listEveryMs = () => (known.followed ? FOLLOWED_MS : UNFOLLOWED_MS);
const jobs = {
  status: {path: "/v1/status", every: () => 2_000, show: showStatus},
  members: {path: "/v1/members", every: listEveryMs, show: showMembers},
  services: {path: "/v1/services", every: listEveryMs, show: showServices},
  endpoints: {path: "/v1/services/NAME", every: () => UNFOLLOWED_MS, show: showEndpoints, refused: () =>
    showDetail(element("p", {className: "empty", text: "Nobody offers this service any more."}))},
  metrics: {path: METRICS, every: () => 3_000, show: showMetrics},
  check: {path: "/v1/check", every: () => 15_000, show: showCheck, refused: ({message}) =>
    at("check").replaceChildren(element("li", {text: message, "data-mark": "warn"}))},
};

async function run(job) {
  const began = performance.now(), name = known.open;
  job.due = Infinity; // An event that comes meanwhile makes it due again, and that stays so.
  try {
    const found = await askFor(job.path, name);
    if (name === known.open || job !== jobs.endpoints) job.show(found);
  } catch (error) {
    if (!job.refused || !(error instanceof Refusal)) throw error;
    job.refused(error);
  }
  const ended = performance.now();
  job.due = Math.min(job.due, ended + Math.max(job.every(), REST * (ended - began)));
}

function dueAll(when) {
  for (const job of Object.values(jobs)) job.due = when;
}

function showReached(reached, error = null) {
  const cameBack = reached && !known.reached;
  known.reached = reached;
  const since = known.answeredAt.toLocaleTimeString();
  const why = error instanceof Refusal ? ` It answers ${error.message}.` : "";
  const line = reached ? "Live" : `Not reached since ${since}. What you see is from then; asking again.${why}`;
  setText(at("line"), line); // Only a new text is read out.
  setMark(at("line"), reached ? "good" : "bad");
  at("main").classList.toggle("old", !reached);
  document.title = `${reached ? "" : "✕ "}${known.self.name} · gossipmesh`;
  if (cameBack) dueAll(0);
}

async function look(round) {
  if (!known.events && performance.now() >= known.followAt) follow();
  try {
    for (const job of Object.values(jobs)) {
      if (performance.now() < job.due || (job === jobs.endpoints && !known.open)) continue;
      await run(job);
      if (round !== known.round) return; // Hidden, and perhaps shown again, meanwhile: that is another round's.
      known.answeredAt = new Date();
      showReached(true);
    }
  } catch (error) {
    // Anything else is a bug of this page: the console shows it, and the page goes on.
    if (!(error instanceof Refusal || error instanceof Silence)) reportError(error);
    if (round !== known.round) return;
    dueAll(performance.now() + RETRY_MS);
    showReached(false, error);
  }
  if (known.changed && performance.now() >= known.drawAt) drawTables();
  known.timer = setTimeout(look, LOOK_MS, round);
}

// A page that nobody looks at asks nothing, and holds no place.
function lookOrRest() {
  clearTimeout(known.timer);
  known.round += 1;
  if (document.hidden) {
    unfollow();
    return;
  }
  known.followAt = 0;
  dueAll(0);
  look(known.round);
}

document.addEventListener("visibilitychange", lookOrRest);
lookOrRest();
