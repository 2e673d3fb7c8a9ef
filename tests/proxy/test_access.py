"""What the proxy tells about a request."""

from __future__ import annotations

from gossipmesh.proxy.access import path_of


def test_a_path_in_a_report_has_no_query() -> None:
    assert path_of(b"/login?password=1") == "/login"
    assert path_of(b"*") == "*"
