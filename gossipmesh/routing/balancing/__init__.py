"""Which endpoint of a service gets a request, as the service's :class:`~gossipmesh.routing.traffic.Traffic` says.

===============  ================================================================================================
``service.py``   one service's: split, zone, session and rule together; explains itself
``layout.py``    its endpoints in groups by tag and zone, with the share of each
``members.py``   one group: turns and chances by weight
``rules.py``     round robin, least request, ewma, random: who of a group
``load.py``      one endpoint's statistics: requests in flight, latency, failures, slow start
``ring.py``      sessions by header or source: consistent hashing with bounded loads
``cookies.py``   sessions by cookie
===============  ================================================================================================

Law: choosing changes nothing but whose turn it is and the dice, so that an explanation is the choice itself. What
does not depend on the request is made once per picture of the mesh; the rest costs a microsecond or two.
"""
