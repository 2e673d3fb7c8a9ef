"""This node's own services: declared, added at run time, checked, told to the mesh.

===============  =====================================================================================================
``offering.py``  which services this node offers: the configuration's, and those added at run time
``registrar.py`` takes changes of them, and has everything that depends on them follow
``health.py``    checks of this node's services: run, counted, logged, and told to the mesh
``checking.py``  one check of an app: a request, a connection, a program
===============  =====================================================================================================

Law: the record of the mesh says what holds here; whatever depends on a service follows its change.
"""
