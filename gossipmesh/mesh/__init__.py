"""One node's control plane: membership and registry over verified values; datagrams in, outputs out. Pure.

- ``machine``: :class:`~gossipmesh.mesh.machine.Mesh`, the one class that the control task owns
- ``setup``: what it starts from
- ``outputs``: what it asks its shell to do, a closed union
- ``effects``: what its parts want of one another
- ``own``: this node's own record: what is in it, when it is signed again
- ``standing``: when our record has to rise above what others hold against us
- ``secrecy``: X25519 generations, and the sealed datagrams of each peer
- ``gossip``: the datagram path, and what each message means
- ``admission``: what becomes of chains, records and accusations that somebody sent
- ``exchanges``: requests over TCP that are under way, and their wire form
- ``reconciling``: when to compare registries with whom, greetings, stream probes; both ends
- ``renewing``: how chains outlive their tokens; both ends
- ``joining``: seeds, tried for ever
- ``routes``: display names, and the snapshot of endpoints that the data plane reads
"""
