"""Who may call what: pure decisions on an authenticated source.

    decision.py   who asks, and what was decided
    rules.py      the rules of a policy document, compiled: ``Policy.decide``
    document.py   the signed body: text, version, stages
    seen.py       what was asked for in the last hour, to try a policy on
    trial.py      what a policy would have said to it
    cover.py      whether one rule covers another, or overlaps with it
    lint.py       what is odd about a policy that can be taken
    rollout.py    the document in stages: which one counts at this node, on what all nodes report
    paths.py      which readings of a path count, and which targets are refused

The law: a decision depends on nothing but its arguments. It is taken at the destination, on a source that the
channel's handshake authenticated, and what was decided on is byte for byte what is forwarded.
"""
