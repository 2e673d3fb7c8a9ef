"""One node's control plane: membership and registry over verified values; datagrams in, outputs out. Pure.

- ``machine``: :class:`~gossipmesh.mesh.machine.Mesh`, the one class that the control task owns
- ``setup``: what it starts from
- ``parts``: what it is made of, put together
- ``outputs``: what it asks its shell to do, a closed union
- ``effects``: what its parts want of one another
- ``own``: this node's own record: what is in it, when it is signed again
- ``standing``: when our record has to rise above what others hold against us
- ``secrecy``: X25519 generations, and the sealed datagrams of each peer
- ``gossip``: the datagram path, and what each message means
- ``detour``: gossip over a kept channel, for members that no datagram reaches
- ``reach``: whether others reach this node at the address that it advertises; both ends
- ``circumstances``: what a node has found out about its own place in the mesh
- ``convergence``: how long registries differed before they agreed again
- ``pace``: how fast one member's records may follow each other and still be gossiped on
- ``admission``: what becomes of chains, records and accusations that somebody sent
- ``trial_messages``: the wire form of trying a policy on at a member
- ``exchanges``: requests over TCP that are under way, and their wire form
- ``calls``: which part answers a request over TCP, which takes the answer, which the failure
- ``reconciling``: when to compare registries with whom, greetings, stream probes; both ends
- ``partners``: with whom registries are compared as a matter of routine
- ``renewing``: how chains outlive their tokens; both ends
- ``charter``: what is signed for the whole mesh: bundles, revocations, the policy document
- ``charter_messages``: how two nodes tell each other what they hold of it
- ``pulling``: when its digest is told, and who is asked for it; both ends
- ``carrying``: effects turned into outputs, and what a revocation means
- ``joining``: seeds, tried for ever
- ``routes``: display names, and the snapshot of endpoints that the data plane reads
"""
