"""Which endpoint gets a request: pure decisions over one immutable picture of the mesh.

    snapshot.py      the picture: every service's endpoints, as the control plane last saw them
    zones.py         which share of the requests stays in the caller's zone
    traffic.py       how the requests to one service are spread, tried and bounded: settings
    balancing/       the order in which endpoints are taken
    upstreams.py     all that is known of each service that is called
    outcomes.py      how one attempt ended
    explain.py       which endpoint the next request would get, and why: a dry run of a plan
    plan.py          the attempts of one request: who next, whether again, and what to say when nobody is left

What a service is spared, and who of its endpoints is left out, judged by what its requests come to:

    outliers.py      endpoints that fail or are silent go out of rotation, and come back by one request
    standing.py      what is known of one endpoint, and for how long it is out
    pauses.py        how long an endpoint may be silent
    ejection.py      when an endpoint is an outlier, and what the end of a request says about it
    success_rate.py  who has fallen behind the others
    budget.py        how many retries there may be, over several hops too; budget_settings.py: its numbers
    backoff.py       how long to wait before one
    hedging.py       when a second request is sent beside a slow first one
    latencies.py     how long a service takes: quantiles of a stream
    breakers.py      requests in flight, and the queue in front of them
    concurrency.py   the limit that adapts to latency
    rates.py         how often each source may ask
    per_service.py   one such machine for each service
    ranges.py        what their settings may be

How this node's own services are:

    checks.py        what a health check is
    health.py        when they are checked, and what the results mean

The law: nothing here knows sockets, clocks or the control plane. The data plane reads one :class:`Snapshot` by
reference and never asks the control plane anything, so a request in flight sees one consistent mesh, and a new
picture is one assignment.
"""
