"""HTTP between apps and the mesh: what a proxy owes its two sides (RFC 9110, RFC 9112).

The way of a request, app to app: ``outbound`` → ``caller`` → ``exchange`` → a hop stream → ``inbound`` → ``delivery`` →
``apps`` → the app; its answer comes back through the same ones. A plain request that is answered at the first try takes
the quick way instead: ``quick_call`` → a hop stream → ``quick_delivery``.

    limits.py          every timer and limit, by name
    ports.py           what the two sides are connected to

    pure rules, values in and out:
    names.py           which service a request names
    outside.py         whether a request may leave the mesh, and where to
    gateway.py         what is believed of requests from outside the mesh
    routes.py          where those go: a fixed map from host and path to a service
    heads.py           message heads as bytes: whatever could be read in two ways is refused
    kinds.py           what a header is by its name, remembered
    headers.py         what is stripped, added, refused and counted among header fields
    trailers.py        the same for trailers
    tracing.py         x-request-id and traceparent
    replies.py         flags, statuses and bodies of what the mesh says itself
    access.py          what is told about each request
    history.py         requests that are over, kept to be asked about
    body.py            a body that can be sent once more while little of it came
    http1/             HTTP/1.1 as pure machines, either side, in two lanes
    quick_heads.py     heads of whole, plain messages: the quick way's rules

    from local apps, called back by the reactor:
    outbound.py        listeners for local apps
    caller.py          an app's connection to us
    quick_call.py      the quick way of one of its requests
    exchange.py        one request: what is asked, and of whom
    answering.py       the other half of it: its answer, and failures
    finishing.py       what both know of it, and every way in which it ends
    deciding.py        what a request asks for, where it may go, with which headers
    dry_run.py         the same decisions for a request that nobody made
    reporting.py       what is told about one of its requests, at the end
    attempts.py        from endpoint to endpoint, as a plan says
    hedge.py           two attempts at once, until one of them answers
    upload.py          the request's body on its way to a stream
    answer.py          the answer on its way to the caller: what is held, what went out
    stream.py          what a request goes out on: to another daemon, or to the outside
    raw.py             a connection to the port of a tcp service
    dialling.py        names outside the mesh resolved, judged and dialled
    direct.py          a request to a host outside the mesh

    to local apps:
    inbound.py         the handler of hop streams; limits and draining
    admission.py       whether a request may reach an app
    quick_delivery.py  the quick way of a request to its app
    delivery.py        one request on its way to its app
    relaying.py        the other half of it: its answer, failures, and its end
    sweep.py           what is under way, judged again when policy, record or chain changed
    apps.py            connections to apps, busy and idle

    tunnel.py          bytes both ways, for upgrades and CONNECT, at either side

The law: framing is derived anew on each side, never copied. Before the first byte of a response went out, a failure
is answered; after it, the response is visibly broken off. At most one receive is held each way. Every failure
says who and why: one flag in header, access log and metrics. And where a request goes is decided by service names and
this node's own configuration, by nothing else in it.
"""
