"""Which endpoint gets a request: pure decisions over one immutable picture of the mesh.

    snapshot.py      the picture: every service's endpoints, as the control plane last saw them
    balancer.py      the order in which equal endpoints are taken
    plan.py          the attempts of one request: who next, whether again, and what to say when nobody is left

What a service is spared, and who of its endpoints is left out, judged by what its requests come to:

    outliers.py      endpoints that fail or are silent go out of rotation, and come back by one request
    ejection.py      when an endpoint is an outlier, and what the end of a request says about it
    success_rate.py  who has fallen behind the others
    budget.py        how many retries there may be, over several hops too
    backoff.py       how long to wait before one
    hedging.py       when a second request is sent beside a slow first one
    latencies.py     how long a service takes: quantiles of a stream
    breakers.py      requests in flight, and the queue in front of them
    concurrency.py   the limit that adapts to latency
    rates.py         how often each source may ask
    per_service.py   one such machine for each service
    ranges.py        what their settings may be

The law: nothing here knows sockets, clocks or the control plane. The data plane reads one :class:`Snapshot` by
reference and never asks the control plane anything, so a request in flight sees one consistent mesh, and a new
picture is one assignment.
"""
