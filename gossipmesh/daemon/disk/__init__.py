"""What a node keeps on its disk, and how.

===================  =================================================================================================
``state.py``         the state directory: lock, node key, boot counter, chain, bundles, last members
``files.py``         secrets read and files written so that a power cut leaves the old one or the new one
``root.py``          the root key of a mesh and its trust bundles, in a directory
``remembered.py``    whom a node remembers from one start to the next
``keeping_peers.py`` keeps them on the disk
``keeping.py``       what is signed for the whole mesh, on its way to the disk
``keeping_rollouts`` what the node said of policies in stages, likewise
===================  =================================================================================================

Law: a file is whole, old or new, whenever the power fails; what is secret is its owner's alone.
"""
