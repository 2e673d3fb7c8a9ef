"""The dashboard: one page, made once when this is imported, and who gets it.

Its parts are in ``page/``: ``index.html``, the style, and the script in four pieces that become one module, in the
order of ``SCRIPTS``. Their comments are for who reads the files, and stay there. The page asks nothing but what any
program of this host may ask, follows ``/v1/events`` while somebody looks at it, and can change nothing.

Law: names in it come from other members, so it sets text only as text, and its policy (Content Security Policy Level 3)
lets nothing run but this very script, and that without any way to make HTML of text. It refers to nothing outside.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from http import HTTPStatus
from importlib import resources
from typing import Final

from gossipmesh.daemon.admin.answers import Answer

MAX_RANGES: Final = 32
"""Of an Accept that are looked at; browsers send about eight."""
STYLE: Final = "style.css"
SCRIPTS: Final = ("figures.js", "documents.js", "tables.js", "main.js")
_HTML: Final = "text/html"
_WEIGHTS: Final = {"*/*": 0, "text/*": 1}
"""How exact a range is; one that names the type itself is 2."""


def wants_page(accept: str) -> bool:
    """Tell whether who sends this Accept would rather have the page than the list, which is ``text/plain``.

    Who likes both as much gets the list: that is what ``*/*`` of curl and scripts says, and no Accept at all.
    """
    html, plain = _liking(accept, _HTML), _liking(accept, "text/plain")
    return html > plain


def _liking(accept: str, content_type: str) -> float:
    """Give the weight, 0 to 1, of a type: that of the most exact range (RFC 9110, section 12.5.1); 0: none has it."""
    exactness, liking = -1, 0.0
    for text in accept.lower().split(",", MAX_RANGES)[:MAX_RANGES]:
        kind, *parameters = (part.strip() for part in text.split(";"))
        exact = 2 if kind == content_type else _WEIGHTS.get(kind, -1)
        if exact > exactness:
            exactness, liking = exact, _weight(parameters)
    return liking


def _weight(parameters: list[str]) -> float:
    """Give the weight that the parameters of a range say; what is no weight asks for nothing."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            digits = value.replace(".", "", 1)
            return float(value) if digits.isascii() and digits.isdigit() and float(value) <= 1 else 0.0
    return 1.0


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _without_comments(text: str) -> str:
    """Leave out the lines of a script or style that are comments; those of the style have one line each."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith(("//", "/*")))


def _page() -> Answer:
    parts = resources.files("gossipmesh.daemon.admin") / "page"
    style = _without_comments((parts / STYLE).read_text("utf-8"))
    script = "".join(_without_comments((parts / name).read_text("utf-8")) for name in SCRIPTS)
    html = (parts / "index.html").read_text("utf-8")
    html = html.replace("<style></style>", f"<style>{style}</style>")
    html = html.replace('<script type="module"></script>', f'<script type="module">{script}</script>')
    policy = (
        "default-src 'none'",
        f"script-src {_source(script)}",
        f"style-src {_source(style)}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    more = (
        ("content-security-policy", "; ".join(policy)),
        ("referrer-policy", "no-referrer"),
        ("vary", "Accept"),
    )
    return Answer(HTTPStatus.OK, html.encode(), f"{_HTML}; charset=utf-8", more)


PAGE: Final = _page()
"""The answer to ``GET /`` of a browser."""
