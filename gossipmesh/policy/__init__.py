"""Who may call what: pure decisions on an authenticated source.

    decision.py   the decision on one request

The law: a decision depends on nothing but its arguments. It is taken at the destination, on a source that the
channel's handshake authenticated, and what was decided on is byte for byte what is forwarded.
"""
