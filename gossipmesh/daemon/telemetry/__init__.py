"""What a node tells of itself: metrics, events, the access log, the flight recorder.

==================  ==================================================================================================
``metrics.py``      the metrics, with bounded labels
``upstreams.py``    what the proxies' machines have counted and found
``counts.py``       counters for what happens with every request; ``series.py``: the numbers of one
``logs.py``         daemon events and the access log
``access_lines.py`` the access log's lines
``recorder.py``     the flight recorder: what membership was told lately, in a ring
==================  ==================================================================================================

Law: nothing here grows with what strangers choose, and no path, token or key is ever a label.
"""
