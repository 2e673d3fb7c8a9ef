"""The running node: what is put together, kept on disk, counted, logged and shown.

==================  ==========================================================================================
``run.py``          from the configuration to the end
``node.py``         the composition root: parts put together, run, and taken down in order
``enrol.py``        who this node is in which mesh, settled before a socket is opened
``identity.py``      who this node is in handshakes, and whom it takes for a peer
``control.py``      the one task that owns the control plane's machine
``effects.py``      carries out what the control plane asks for
``plane.py``        the data plane: proxies and their channels
``calling.py``      the services that local apps call, from the configuration
``gateways.py``     what strangers reach of this node; certificates that are read again
``ending.py``       how a node stops: draining, leaving, or at once
``surroundings.py`` who started the process, and how many files it may open
``mixed.py``        members of the release before, and what is done for their sake
``served.py``       the sync channels that peers opened to us
``ports.py``        binding what is listened on, with errors that name the flag
``hello.py``        what a daemon says when it is up
``reloading.py``    reading the configuration again, on SIGHUP
``observing.py``    what becomes of a request that is over: counted, kept, logged
``explaining.py``   why a request would go, or went, where it did
``tapping.py``       the requests that ended lately, for whoever follows them
``surveying.py``     who can be reached from here, for ``gossipmesh reachability``
``naming.py``       DNS: pictures of the mesh for it, and its server
``admin/``          the admin API: what it listens on, what it answers, and who may wait there
``policy/``         the mesh's policy at this node: which one is in effect, whom it allows, what it would have denied
``disk/``           what a node keeps on its disk, and how
``telemetry/``      what a node tells of itself: metrics, events, the access log, the flight recorder
``checkup/``        what is right and wrong here, for ``gossipmesh check``
``services/``       this node's own services: declared, added at run time, checked, told to the mesh
==================  ==========================================================================================

Law: everything here touches the clock, the disk or the network; nothing here decides about members or requests.
"""
