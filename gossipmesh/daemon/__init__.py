"""The running node: what is put together, kept on disk, counted, logged and shown.

==================  ==========================================================================================
``node.py``         the composition root: parts put together, run, and taken down in order
``enrol.py``        who this node is in which mesh, settled before a socket is opened
``control.py``      the one task that owns the control plane's machine
``effects.py``      carries out what the control plane asks for
``plane.py``        the data plane: proxies and their channels
``authorization.py`` the policy in force, and what is decided by it counted and told
``callers.py``      who a peer is to the policy
``can.py``          who may do what, asked about any member
``policy_view.py``  the shapes of what the admin API says of the policy
``policies.py``     which policy document is in effect here, as its rollout decides, and which one members have
``trying.py``       a policy tried on requests that were seen, here and at every member
``measuring.py``    how requests went before and since the policy changed
``gateways.py``     what strangers reach of this node; certificates that are read again
``health.py``       checks of this node's services: run, counted, logged, and told to the mesh
``checking.py``      one check of an app: a request, a connection, a program
``ending.py``       how a node stops: draining, leaving, or at once
``recorder.py``     the flight recorder: what membership was told lately, in a ring
``surroundings.py`` who started the process, and how many files it may open
``served.py``       the sync channels that peers opened to us
``keeping.py``      what is signed for the whole mesh, on its way to the disk
``identities.py``   who may be revoked and who is, as the admin API shows it
``ports.py``        binding what is listened on, with errors that name the flag
``remembered.py``   whom a node remembers from one start to the next
``keeping.py``      keeps them on the disk
``hello.py``        what a daemon says when it is up
``offering.py``     which services this node offers: the configuration's, and those added at run time
``registrar.py``    takes changes of them, and has everything that depends on them follow
``reloading.py``    reading the configuration again, on SIGHUP
``report.py``       a running node, as the admin API sees it
``explaining.py``   why a request would go, or went, where it did
``naming.py``       DNS: pictures of the mesh for it, and its server
``files.py``        secrets read and files written so that a power cut leaves the old one or the new one
``root.py``         the root key of a mesh and its trust bundles, in a directory
``state.py``        the state directory: lock, node key, boot counter, chain, bundles, last members
``view.py``         what the admin API asks of a node, and the shapes of the answers
``admin.py``        the admin API: HTTP/1.1 over a read-only TCP listener and a unix socket
``places.py``       its connections' places, and the share of them that may wait for changes
``receiving.py``    one request, with its body
``desk.py``         where a request goes: to one of the next four
``answers.py``      what it answers, from memory
``registering.py``  how apps and scripts register their services
``watching.py``     blocking queries: what is waited for, and how long
``event_stream.py`` server-sent events
``changes.py``      what has changed in a node's picture of the mesh, numbered
``news.py``         waiting for that
``metrics.py``      the metrics, with bounded labels
``upstreams.py``    what the proxies' machines have counted and found
``counts.py``       counters for what happens with every request
``logs.py``         daemon events and the access log
``access_lines.py`` the access log's lines
==================  ==========================================================================================

Law: everything here touches the clock, the disk or the network; nothing here decides about members or requests.
"""
