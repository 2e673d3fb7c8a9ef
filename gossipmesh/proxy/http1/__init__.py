"""HTTP/1.1 as pure machines: bytes in, messages out, and back. No sockets, no clock, nothing that waits.

    messages.py    what is read: a request, a response; what both sides share
    lines.py       single header lines, validated once and remembered by their bytes
    plain.py       the fast lane: heads made of such lines, and nothing unusual in them
    careful.py     the other lane: everything else, by h11
    receiving.py   what came: heads found, bodies counted or parsed, either side
    sending.py     what goes out: bodies counted or in chunks, either side
    serving.py     we are the server: requests in, responses out
    asking.py      we are the client: requests out, responses in

The law: the fast lane may refuse to decide, and never decides otherwise than the careful one. Which lane a head takes
depends on its bytes alone, not on how they were cut on the way; the body goes with it. What the two lanes give, refuse
and write is the same to the byte, and tests and a fuzzer hold them to it.
"""
