"""What the end of an attempt says about an endpoint, and which settings there are."""

from __future__ import annotations

import pytest

from gossipmesh.errors import ConfigError
from gossipmesh.routing.ejection import EjectionSettings
from gossipmesh.routing.outcomes import AttemptOutcome, Came, OutcomeKind, what_it_says


@pytest.mark.parametrize(
    ("outcome", "came"),
    [
        (AttemptOutcome(OutcomeKind.ANSWERED, status=404), Came.OK),
        (AttemptOutcome(OutcomeKind.ANSWERED, status=503), Came.ERROR),
        (AttemptOutcome(OutcomeKind.ANSWERED, "UC", 200), Came.FAILURE),
        (AttemptOutcome(OutcomeKind.ANSWERED, "DR", 200), Came.NOTHING),
        (AttemptOutcome(OutcomeKind.ANSWERED, "DPE", 400), Came.OK),
        (AttemptOutcome(OutcomeKind.FAILED, "UC"), Came.FAILURE),
        (AttemptOutcome(OutcomeKind.FAILED, "UT"), Came.FAILURE),
        (AttemptOutcome(OutcomeKind.DOUBTED, "UT"), Came.SILENCE),
        (AttemptOutcome(OutcomeKind.CONNECT_FAILED, "UF"), Came.FAILURE),
        (AttemptOutcome(OutcomeKind.REFUSED, "UF"), Came.FAILURE),
        (AttemptOutcome(OutcomeKind.REFUSED, "UO"), Came.NOTHING),
        (AttemptOutcome(OutcomeKind.REFUSED, "DR"), Came.NOTHING),
        (AttemptOutcome(OutcomeKind.REFUSED, "refused"), Came.NOTHING),
    ],
)
def test_what_an_attempt_says_about_its_endpoint(outcome: AttemptOutcome, came: Came) -> None:
    assert what_it_says(outcome) is came


@pytest.mark.parametrize(
    "wrong", [{"share": 101}, {"base_s": 0.0}, {"silence_s": -1}, {"panic": float("nan")}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EjectionSettings(**wrong)  # type: ignore[arg-type]
