"""How a node finds others before it knows any.

- ``seeds``: the configured seeds' names, resolved again and again
- ``advertise``: which of this host's addresses others can dial
- ``dns``: the names of the mesh, answered
"""
