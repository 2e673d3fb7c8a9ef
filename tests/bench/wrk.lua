-- What wrk sends, and its figures as one line of JSON. After `--`: folder of this file, heads, path, body bytes, close.
-- heads.py builds the same heads for the load generator in Python; a change here is one there.

local LANGUAGES = { "en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR,fr;q=0.9,en;q=0.7", "en-GB,en;q=0.8", "ja,en;q=0.7" }
local SESSIONS = 10000

local agents, prefix, varied, suffix, body, same = {}, "", true, "", "", nil
local number, format = 0, string.format

local function head()
  number = number + 1
  local agent = agents[number * 7 % #agents + 1]
  local session = number * 2654435761 % SESSIONS
  local lines = {
    format("%s/items/%d?page=%d&limit=20 HTTP/1.1\r\nHost: hello\r\nUser-Agent: %s\r\n", prefix, number, number % 97, agent),
    "Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\n",
    "Accept-Language: ", LANGUAGES[number % #LANGUAGES + 1],
    format("\r\nX-Request-Id: 7d0e4c1a-93b2-4f6d-8a55-%012x\r\n", number),
    format("Traceparent: 00-4bf92f3577b34da6%016x-%016x-01\r\n", number, number * 31),
    format("Cookie: theme=dark; session=%08x%08x\r\n", session * 40503, session),
    "Cache-Control: no-cache\r\n",
    number % 3 > 0 and "Referer: http://shop.example/items\r\n" or "",
    number % 2 > 0 and "Sec-Fetch-Mode: cors\r\n" or "",
    suffix,
  }
  return table.concat(lines)
end

function init(args)
  for agent in io.lines(args[1] .. "/agents.txt") do agents[#agents + 1] = agent end
  varied = args[2] == "varied"
  local length = tonumber(args[4])
  prefix = (length > 0 and "POST /" or "GET /") .. args[3]
  if args[5] == "close" then suffix = "Connection: close\r\n" end
  if length > 0 then suffix = suffix .. format("Content-Length: %d\r\n", length) end
  suffix = suffix .. "\r\n" .. string.rep("b", length)
  same = head()
end

function request()
  return varied and head() or same
end

function done(summary, latency)
  local errors = summary.errors
  print(format('JSON {"answered": %d, "failed": %d, "took_s": %f, "p50_us": %f, "p99_us": %f}', summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99)))
end
