"""What a user sets: one TOML file, ``GOSSIPMESH_*`` variables and flags become one frozen value.

====================  =====================================================================================
``durations.py``      ``"250ms"`` to seconds and back; a bare number is an error that suggests a unit
``readers.py``        how the value of one key is read, checked, and shown again
``health.py``           how a service's health check is read
``dns.py``             how the values of ``[dns]`` are read
``gateway.py``        how a gateway's routes and certificate are read
``hints.py``            the nearest known name, where one is not known
``model.py``          ``Config`` and its parts: one class per table, each key declared where it is used
``keys.py``           every key by its path: its reader, its variable, its place in ``Config``
``places.py``         where the state is if nothing says so, and the admin socket in it
``sources.py``        what a file, the environment and flags say, all in one shape
``bind.py``           from given values to frozen parts, strictly (cattrs)
``traffic.py``        ``[traffic.NAME]``: how the requests to a service are spread and tried
``policy_text.py``    the text of a mesh's policy: rules, and traffic for all
``policy_diff.py``    how two policies differ, in words
``lines.py``            in which line of a TOML text a key stands
``services.py``       a service that is declared at run time
``load.py``           flag, then variable, then file, then default; origins; what must fit together
``changes.py``        what a configuration that is read again may change in a running daemon
====================  =====================================================================================

Law: a key that has no effect is not accepted. Whatever is wrong is one :class:`~gossipmesh.errors.ConfigError`
of one line that names where the value came from, its key, and what to write instead.
"""
