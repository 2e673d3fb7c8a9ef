"""What the proxy tells about a request."""

from __future__ import annotations

from gossipmesh.proxy.access import path_in, path_of, text_in


def test_a_path_in_a_report_has_no_query() -> None:
    assert path_of(b"/login?password=1") == "/login"
    assert path_of(b"*") == "*"


def test_what_came_as_bytes_is_made_text_when_it_is_read_and_loses_its_query() -> None:
    assert [path_in(path) for path in ("/a?b", b"/a?b=1", b"/\xff")] == ["/a?b", "/a", "/\ufffd"]
    assert [text_in(text) for text in ("GET", b"GET", b"")] == ["GET", "GET", ""]
