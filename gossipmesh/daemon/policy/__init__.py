"""The mesh's policy at this node: which one is in effect, whom it allows, what it would have denied.

===================  =================================================================================================
``policies.py``      which policy document is in effect here, as its rollout decides, and which one members have
``authorization.py`` the policy in force, and what is decided by it counted and told
``callers.py``       who a peer is to the policy
``can.py``           who may do what, asked about any member
``trying.py``        a policy tried on requests that were seen, here and at every member
``measuring.py``     how requests went before and since the policy changed
===================  =================================================================================================

Law: the rules decide (:mod:`gossipmesh.policy`); here they are chosen, asked, counted and told.
"""
