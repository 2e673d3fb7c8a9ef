"""Who is who, and the proofs of it: keys, tokens, chains, and the objects that nodes sign.

Traffic between the files is one way, top to bottom:

* ``signed``       bytes with a signature, kept as they came; what every file below is made of
* ``keys``         a node's own key
* ``bundle``       the mesh's root keys, its id, and how roots are replaced
* ``grants``       what restrictions add up to; the only place that knows what "narrower" means
* ``describe``     grants in words
* ``block``        one block of a chain on the wire, and the walk that proves a row of them
* ``token``        the join token: blocks, and the secret that adds the next
* ``chain``        a node's proof of membership, and how it is made of a token
* ``renewal``      a new chain of an old one
* ``authority``    who may sign for the mesh, and objects that were so signed
* ``revocation``   a signed word that a node, token or issuer is none any longer
* ``revoked``      the set of them, and on whom it has effect
* ``record``       what a node says of itself
* ``accusation``   what a node says of another that does not answer
* ``checks``       the costly ones of these functions as one port
* ``credentials``  chain and record as a handshake carries them, and the peer that they prove

The law: nothing here reads a clock, rolls dice or awaits. Functions named ``*_untrusted`` take bytes from anybody and
raise :class:`~gossipmesh.errors.RemoteProtocolError` (``*.malformed``) or its subclass
:class:`~gossipmesh.errors.TrustError`, and nothing else. What was received is relayed byte for byte, never encoded
again. A later block can only narrow.
"""
