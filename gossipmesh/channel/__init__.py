"""What two daemons say to each other: sealed streams over TCP and sealed datagrams over UDP.

    knock.py         the first message of a handshake: who knows no mesh gets no answer
    noise.py         Noise_XX_25519_ChaChaPoly_SHA256: the handshake and the two ciphers that it ends in
    secure.py        a byte stream as records: handshake, authentication, record framing, rekeying, END
    header_lines.py  header lines, and what kind of header each is, remembered
    hop_headers.py   headers: what they may be, checked and remembered
    hop_messages.py  the heads and ends of requests that travel in records, as values
    hop_whole.py     a whole request or answer as one message
    hop_long.py      one that is whole, and too long for one frame
    hop_frames.py    how parts of many requests lie in one record
    hop_body.py      the part of one body that waits to be sent
    hop_stream.py    one request inside a channel: its two directions and its credit
    hop_events.py    what the multiplexer reports
    hop_outbox.py    what waits to be sent, in the order in which it goes: fairness
    hop_sending.py   what is asked of the multiplexer
    hop.py           the multiplexer: many streams in one channel, cancelling, going away
    datagram.py      pairwise sealed gossip datagrams: header, keys, replay windows, hints

The law: bytes in, values out. Nothing here opens a socket, looks at a clock, rolls dice or writes a log; keys and
entropy are handed in. Nothing here knows what a certificate is either: whoever opens a channel hands in
``authenticate``, and no byte of an application passes before it has said yes.
"""
