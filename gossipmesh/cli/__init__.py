"""The commands.

===============  ==========================================================================================
``main.py``      the group, loaded command by command, and the one place where errors become exit statuses
``options.py``   options that several commands share, and where a token is read from
``minting.py``   flags to the caveats of a token, and the token
``init.py``      make a mesh
``token.py``     make, narrow and show join tokens
``root.py``      show, replace and drop the mesh's root key
``up.py``        run the daemon
``wait.py``      wait until this node, and services, are ready
``reading.py``   status, members, services, endpoints, config: what this node knows
``service.py``   add, change, renew, remove and list this node's services
``explain.py``   why a request would go, or went, where it did
``reachability.py`` who can be reached from here, and who is wrongly believed dead or alive
``tap.py``       single requests, as they end
``top.py``       live: rates, failures and latencies by service
``rates.py``     what two readings of the metrics say of the time between them
``check.py``       what is right and wrong here, with a hint for each failure
``can.py``       whether a member may send a request, and which rule says so
``policy.py``    show, compare and list policies
``linting.py``   policy lint: what is wrong with one
``applying.py``  policy apply and rollback: sign one and see it arrive
``trace.py``     save the flight recorder
``replay.py``    the part of ``sim`` that runs a saved one again
``leave.py``     drain: take no more work; leave the mesh
``revoke.py``    revoke a node, a token or an issuer; who is revoked
``sim.py``       run the simulator
``mixed.py``     what is said of members of an older release
``client.py``    the admin API, over the unix socket
``signals.py``   SIGTERM to commands that run for long
``render.py``    what goes to stdout; tables for people
===============  ==========================================================================================

Law: what a script may want is alone on stdout; all else, errors in one line, goes to stderr. Exit status 0: yes or
done, 1: the answer is no, 2: wrong usage, 3: the daemon cannot be reached. A module imports at its top only what
every command of it needs, for a short command must not wait for trio or rich to load.
"""
