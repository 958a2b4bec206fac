"""What is said of each reason."""

from __future__ import annotations

import pytest

from router.admission.remedies import REMEDIES
from router.admission.verdicts import Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_what_it_means_and_what_to_do(reason: Reason) -> None:
    """In whole sentences, for the owner; an admin's part may be empty."""
    remedy = REMEDIES[reason]
    assert remedy.meaning.endswith(".")
    assert remedy.team.endswith(".")
    assert not remedy.admin or remedy.admin.endswith(".")
