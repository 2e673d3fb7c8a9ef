"""A deterministic world for the very machines that the daemon runs: virtual time, one seed, no sockets.

- ``world``: the one class to drive: nodes, and what happens to them
- ``faults``: what may go wrong in a world, by name
- ``shell``: time, and what a daemon does with the outputs of its machine
- ``standin``: what stands for most members of a mesh that is too large to be simulated whole
- ``events``: the event heap
- ``call``: one exchange over TCP
- ``node``: one simulated host
- ``network``: who reaches whom, how fast, with what losses
- ``crypto``: what all nodes verify with, each by itself or once for all
- ``checks``: what must hold after every event, whatever happens
- ``watched``: membership that shows what it takes in to the checks
- ``truth``: how many views of whom are right, kept with every change
- ``coverage``: what a run exercised
- ``traffic``: what each node sent
- ``replay``: a daemon's recording, run again
- ``history``: what happened last, for the text of a failure
- ``scenarios``: what can happen to a mesh, by name, and what must hold then
- ``attackers``: members that lie and forge
- ``measure``: who was wrongly given up, and when news was known
- ``claims``: what the SWIM paper says of the protocol, as experiments
- ``runner``: one scenario with many seeds, in several processes
- ``statistics``, ``report``, ``plot``: what many runs say together: numbers, a document, a picture
"""
