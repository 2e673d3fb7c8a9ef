"""Which endpoint gets a request: pure decisions over one immutable picture of the mesh.

    snapshot.py   the picture: every service's endpoints, as the control plane last saw them
    zones.py      which share of the requests stays in the caller's zone
    traffic.py    how the requests to one service are spread, tried and bounded: settings
    balancer.py   the order in which equal endpoints are taken
    balancing/    the same by all that a service's settings may ask for
    plan.py       the attempts of one request: who next, whether again, and what to say when nobody is left

The law: nothing here knows sockets, time or the control plane. The data plane reads one :class:`Snapshot` by
reference and never asks the control plane anything, so a request in flight sees one consistent mesh, and a new
picture is one assignment.
"""
