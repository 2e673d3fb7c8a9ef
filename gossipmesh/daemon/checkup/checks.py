"""All checks of one moment, in the order in which they are shown: from what the others depend on."""

from __future__ import annotations

from typing import Final

import gossipmesh
from gossipmesh.daemon.admin.check_view import Checked, CheckEntry
from gossipmesh.daemon.checkup import network, policies, serving, trust
from gossipmesh.daemon.checkup.facts import Check, Facts, State

CHECKS: Final = (*network.CHECKS, *trust.CHECKS, *policies.CHECKS, *serving.CHECKS)


def checks_of(facts: Facts) -> list[Check]:
    """Give every check's verdict."""
    return [check(facts) for check in CHECKS]


def shown(facts: Facts) -> Checked:
    """Give them as the admin API shows them."""
    checks = checks_of(facts)
    return Checked(
        ok=all(each.state is not State.FAIL for each in checks),
        version=gossipmesh.__version__,
        node=facts.shown_as,
        id=facts.id,
        checks=[
            CheckEntry(
                name=each.name,
                state=each.state.value,
                found=each.found,
                hint=each.hint,
                details=[dict(detail) for detail in each.details],
            )
            for each in checks
        ],
    )
