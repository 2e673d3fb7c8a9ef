"""Which endpoint gets a request: pure decisions over one immutable picture of the mesh.

    snapshot.py   the picture: every service's endpoints, as the control plane last saw them
    balancer.py   the order in which equal endpoints are taken
    checks.py     what a health check is
    health.py     when this node's services are checked, and what the results mean
    plan.py       the attempts of one request: who next, whether again, and what to say when nobody is left

The law: nothing here knows sockets, clocks or the control plane. The data plane reads one :class:`Snapshot` by
reference and never asks the control plane anything, so a request in flight sees one consistent mesh, and a new
picture is one assignment.
"""
