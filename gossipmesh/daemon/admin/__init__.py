"""The admin API: what it listens on, what it answers, and who may wait there.

===================  ==================================================================================================
``server.py``       the admin API: HTTP/1.1 over a read-only TCP listener and a unix socket
``places.py``       its connections' places, and the share of them that may wait for changes
``bugs.py``         what ends a connection and nothing else: its client's going, and bugs, which are counted
``receiving.py``    one request, with its body
``desk.py``         where a request goes: to one of the next five
``answers.py``      what it answers, from memory
``dashboard.py``    the dashboard, for browsers: its parts are in ``page/``
``registering.py``  how apps and scripts register their services
``watching.py``     blocking queries: what is waited for, and how long
``event_stream.py`` server-sent events
``changes.py``      what has changed in a node's picture of the mesh, numbered
``news.py``         waiting for that
``report.py``       a running node, as the admin API sees it
``view.py``         what the admin API asks of a node, and the shapes of the answers
``services_view.py`` the shapes of what is said of this node's own services
``explained_view.py`` the shapes of what is said of one request
``requests_view.py`` what may be asked of the requests that ended lately, and the shape of the answer
``reachability_view.py`` the shape of what ``gossipmesh reachability`` gets
``check_view.py``   the shape of what ``gossipmesh check`` gets
``policy_view.py``  the shapes of what the admin API says of the policy
``identities.py``   who may be revoked and who is, as the admin API shows it
===================  ==================================================================================================

Law: an answer is made at once from memory; only the loop around it waits, and who waits for changes has a place for it.
"""
