"""Bytes between daemons, and between daemons and apps: the sockets, and who is called when they are ready.

    addresses.py      socket addresses of IP literals, one family per socket
    parking.py        one task's place to wait
    counters.py       counted codes

    as trio tasks:
    udp.py            the gossip socket and its bounded inbox (inbox.py)
    secure_stream.py  a TCP connection as authenticated records; who we are on it
    dial.py           from a peer's addresses to a secure stream
    listener.py       accepted connections: limits, handshake, then by their purpose ``sync`` or ``hop``
    sync.py           request and response on kept channels, both sides

    the data plane, called back:
    reactor.py        an epoll of our own behind one trio task: turns, alarms
    lingering.py      whether a turn waits for the next event itself
    link.py           one TCP connection on it
    tls.py            TLS for strangers at a gateway, as a socket that a link may use
    connecting.py     connections made and accepted on it
    hop.py            one hop channel: a link on one side, the pure multiplexer on the other
    hop_streams.py    the streams of a channel, and who is told what of them
    hop_stream.py     one request in it, as its two apps' proxies see it
    silence.py        when a peer that owes answers is asked whether it is there, and when given up
    pool.py           one hop channel per peer, dialled once for all who want it, and a second one beside bulk
    acceptor.py       the hop channels that peers opened to us

The law: what to do is decided in the pure packages; here it is carried out. Services run in somebody's nursery
(``await nursery.start(service.run)``), say when they are ready, and die with it. A request costs no task, no nursery,
no cancel scope and no memory channel: whoever owns a link or listens to a stream is called back, in a turn of the
reactor, and never from within a call of its own. Strangers cost nothing but a counter.
"""
