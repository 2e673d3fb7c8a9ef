"""What the dashboard reckons, by V8: the page's own functions, asked by ``figures.test.js``."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Final

import pytest
from py_mini_racer import JSEvalException, MiniRacer

PAGE: Final = resources.files("gossipmesh.daemon.admin") / "page"
TESTS: Final = Path(__file__).with_name("figures.test.js")
ASSERTING: Final = """
const tests = new Map();
const test = (name, body) => { tests.set(name, body); };
const same = (one, other) => {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return false;
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length
    && keys.every((key) => Object.hasOwn(other, key) && same(one[key], other[key]));
};
const equal = (found, wanted) => {
  if (!same(found, wanted)) throw new Error(`found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);
};
const assert = {equal, deepEqual: equal, ok: (found) => equal(Boolean(found), true)};
"""


def engine() -> MiniRacer:
    """Give V8 with the page's functions and all that asks them."""
    made = MiniRacer()
    for text in (
        (PAGE / "figures.js").read_text("utf-8"),
        (PAGE / "documents.js").read_text("utf-8"),
        ASSERTING,
        TESTS.read_text("utf-8"),
    ):
        made.eval(text)
    return made


def names() -> list[str]:
    found: list[str] = json.loads(str(engine().eval("JSON.stringify([...tests.keys()])")))
    return found


@pytest.mark.parametrize("name", names())
def test_the_page_reckons_right(name: str) -> None:
    engine().eval(f"tests.get({json.dumps(name)})()")


def test_none_of_them_got_lost() -> None:
    assert len(names()) == TESTS.read_text("utf-8").count("\ntest(")


@pytest.mark.parametrize(
    "claim",
    [
        "assert.equal(1, 2)",
        "assert.ok(0)",
        "assert.deepEqual([1], [1, 2])",
        "assert.deepEqual({a: 1}, {a: 1, b: 2})",
        "assert.deepEqual({a: [1]}, {a: ['1']})",
        "assert.deepEqual(formatSpan(60), '60 s')",
    ],
)
def test_what_is_not_so_is_found(claim: str) -> None:
    with pytest.raises(JSEvalException, match=r"found .*, wanted "):
        engine().eval(claim)
