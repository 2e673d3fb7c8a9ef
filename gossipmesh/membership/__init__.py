"""SWIM membership: who is alive, as one node believes it. Pure: no IO, clock, dice or crypto of its own.

Records and accusations come in verified; messages come in decoded; outputs go out as values, and the mesh seals,
sends, signs and connects. SWIM is Das, Gupta, Motivala 2002; what is taken from Lifeguard is Dadgar, Phillips,
Currey 2017.

- ``machine``: :class:`~gossipmesh.membership.machine.Membership`, the one class that the mesh drives
- ``beliefs``: what evidence does to states
- ``prober``: pings, indirect pings and stream probes under way, and what they found; helping others to probe
- ``findings``: what they found
- ``probe``: whom to probe next, and how long an answer may take
- ``suspicion``: how long a suspect may stay silent, and when silence is death
- ``suspicions``: all of them, in the order in which they have to be judged
- ``withdrawing``: what is left of them when an accuser is revoked
- ``awareness``: how far a node trusts its own judgement
- ``credibility``: accusers that were refuted too often about one subject
- ``members``: the table of members, and what our own packets told us of each
- ``piggyback``: news that rides on datagrams, those sent least first
- ``messages``: what a gossip datagram says; ``message_codec``: its bytes; ``outputs``: what the shell is asked to do
- ``parameters``: the numbers, by profile
- ``recorded``: the machine with a record of what goes in and out; ``trace``: the form of that record
- ``packing``: the machine's objects as arrays, numbers and bytes; ``unpacking``: and back

The law:

1. Only a record signed by its owner adds a member, clears a suspicion, brings back the dead, or says *left*.
2. No message declares anybody dead, and no number of accusers does. Each node's own timer does, after its own probe
   failed and none was answered since; accusations of the very version that it holds only shorten the time.
3. One accusation takes nobody out of service: it makes us probe the subject ourselves at once. Two do, until that
   probe is answered; and so does our own failed probe or connection.
4. Every collection has a named maximum.
"""
