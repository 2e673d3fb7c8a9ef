"""``gossipmesh check``: what is right and wrong at this node, found in memory.

================  ==================================================================
``facts.py``      what is looked at, as values, and what a check gives
``checks.py``     all checks of one moment, in the order in which they are shown
``network.py``    seeds, the address, UDP, clocks, members, names, listeners, files
``trust.py``      chain, roots, clones, revocations, quotas
``policies.py``   which policy is in force here, and at whom else
``serving.py``    this node's services, those that it calls, and its record
``noted.py``      what is kept for it while the daemon runs
``gathering.py``  the facts, read off a running node
``late.py``       all of that, loaded when somebody asks
================  ==================================================================

Law: a check is a pure function from facts to one verdict, and every check is there each time, whatever it found. What
is wrong fails; what works and should not stay so warns.
"""
