"""The running node: what is put together, kept on disk, counted, logged and shown.

==================  ==========================================================================================
``node.py``         the composition root: parts put together, run, and taken down in order
``enrol.py``        who this node is in which mesh, settled before a socket is opened
``control.py``      the one task that owns the control plane's machine
``effects.py``      carries out what the control plane asks for
``plane.py``        the data plane: proxies and their channels
``gateways.py``     what strangers reach of this node; certificates that are read again
``health.py``       checks of this node's services: run, counted, logged, and told to the mesh
``checking.py``      one check of an app: a request, a connection, a program
``ending.py``       how a node stops: draining, leaving, or at once
``recorder.py``     the flight recorder: what membership was told lately, in a ring
``surroundings.py`` who started the process, and how many files it may open
``ports.py``        binding what is listened on, with errors that name the flag
``remembered.py``   whom a node remembers from one start to the next
``report.py``       a running node, as the admin API sees it
``explaining.py``   why a request would go, or went, where it did
``files.py``        secrets read and files written so that a power cut leaves the old one or the new one
``root.py``         the root key of a mesh and its trust bundles, in a directory
``state.py``        the state directory: lock, node key, boot counter, chain, bundles, last members
``view.py``         what the admin API asks of a node, and the shapes of the answers
``admin.py``        the admin API: HTTP/1.1 over a read-only TCP listener and a unix socket
``answers.py``      what it answers, from memory
``metrics.py``      the metrics, with bounded labels
``upstreams.py``    what the proxies' machines have counted and found
``counts.py``       counters for what happens with every request
``logs.py``         daemon events and the access log
``access_lines.py`` the access log's lines
==================  ==========================================================================================

Law: everything here touches the clock, the disk or the network; nothing here decides about members or requests.
"""
