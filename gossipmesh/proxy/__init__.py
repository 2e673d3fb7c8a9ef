"""HTTP between apps and the mesh: what a proxy owes its two sides (RFC 9110, RFC 9112).

The way of a request, app to app: ``outbound`` → ``exchange`` → a hop stream → ``inbound`` → ``delivery`` → the app; its
answer comes back through the same ones.

    limits.py      every timer and limit, by name

    pure rules, tables in and out:
    names.py       which service a request names
    outside.py     whether a request may leave the mesh, and where to
    heads.py       message heads as bytes: whatever could be read in two ways is refused
    kinds.py       what a header is by its name, remembered
    headers.py     what is stripped, added, refused and counted among header fields
    tracing.py     x-request-id and traceparent
    replies.py     flags, statuses and bodies of what the mesh says itself
    access.py      what is told about each request

    http1/         HTTP/1.1 as pure machines, either side

    shells around h11:
    oldhttp1.py    one HTTP/1.1 connection, either side
    body.py        a body that can be sent once more while little of it was read
    caller.py      an app that asks us
    apps.py        an app that we ask, and idle connections to it
    exchange.py    one request of a local app: attempts, both directions, the answer
    outbound.py    listeners for local apps
    delivery.py    one request from the mesh: checks, policy, the local app, the answer
    inbound.py     the handler of hop streams; limits and draining

The law: framing is derived anew on each side, never copied. Before the first byte of a response went out, a failure
is answered; after it, the response is visibly broken off. At most one chunk is in flight each way. Every failure
says who and why: one flag in header, access log and metrics. And where a request goes is decided by service names and
this node's own configuration, by nothing else in it.
"""
