"""A deterministic world for the very machines that the daemon runs: virtual time, one seed, no sockets.

- ``world``: the one class to drive: nodes, and what happens to them
- ``events``: the event heap
- ``call``: one exchange over TCP
- ``node``: one simulated host
- ``network``: who reaches whom, how fast, with what losses
- ``checks``: what must hold after every event, whatever happens
"""
