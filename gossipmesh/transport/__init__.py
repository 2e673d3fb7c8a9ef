"""Bytes between daemons: the sockets, and the tasks that read and write them.

    addresses.py      socket addresses of IP literals, one family per socket
    parking.py        one task's place to wait
    counters.py       counted codes
    udp.py            the gossip socket and its bounded inbox (inbox.py)
    secure_stream.py  a TCP connection as authenticated records; who we are on it
    dial.py           from a peer's addresses to a secure stream
    listener.py       accepted connections: limits, handshake, then by their purpose ``sync`` or ``hop``
    sync.py           request and response on kept channels, both sides
    hop.py            one hop channel: a reader and a writer around the pure multiplexer
    hop_stream.py     one request in it, as its two apps' proxies see it
    pool.py           one hop channel per peer, dialled once for all who want it
    acceptor.py       the hop channels that peers opened to us

The law: what to do is decided in the pure packages; here it is carried out. Services run in somebody's nursery
(``await nursery.start(service.run)``), say when they are ready, and die with it. A request costs no nursery, no cancel
scope and no memory channel here: whoever wants a deadline resets the stream, which wakes everybody who waits for it.
Strangers cost nothing but a counter.
"""
