"""What can happen to a mesh, by name: what is done, what is measured, and what must hold.

- ``catalogue``: all scenarios with the numbers that they start from; from a command line to a plan
- ``plan``: what is to be run, and what came out of one run; values that cross between processes
- ``run``: what a scenario gets: a world, a judge, and where to write down what it saw
- ``news``: ``update``, ``join-storm``, ``idle``
- ``failures``: ``crash``, ``stall``, ``power-cut``, ``rolling-restart``, ``churn``
- ``paths``: ``loss``, ``partition``, ``asymmetric``, ``flap``
- ``slowness``: ``slow`` and ``lifeguard``: Lifeguard's blocked members
- ``malice``: ``liar``, ``forge``
- ``file``: scenarios that users write, read and checked
- ``written``: plays those

Law: a scenario measures always and claims only what must hold with every seed. A claim that breaks is a
:class:`~gossipmesh.sim.scenarios.run.ClaimBroken` with the seed in it; and a run that did not exercise what it is there
for fails as well.
"""
