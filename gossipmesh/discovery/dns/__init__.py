"""The names of the mesh, for whoever asks in DNS; by default only this host can.

Pure, from bytes to bytes:

- ``names``: what a name asks for
- ``picture``: what is known at one moment: endpoints in rotation, nodes, the local proxy
- ``zone``: a question and a picture make records, or none
- ``messages``: queries read, replies written; the wire format itself is dnspython's
- ``questions``: what is sent to another resolver, and whether a packet answers it
- ``answers``: a whole packet in, a whole packet out, with a memory for what is asked again and again

- ``share``: of the daemon's time, how much answers by TCP may take

Shells:

- ``server``: the sockets
- ``datagrams``: a UDP socket that answers from the address that was asked
- ``connection``: one TCP connection of a caller
- ``forward``: what is outside the mesh, asked of other resolvers
"""
