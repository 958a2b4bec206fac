"""A frozen value with some fields otherwise, made without a look at each."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.model import Backend
from router.model.changed import changed
from tests.support.models import section, server


@given(st.sets(st.sampled_from([each.name for each in fields(Backend)])))
def test_it_is_what_replace_gives(names: set[str]) -> None:
    """Whichever fields are others, none of the rest is lost."""
    backend = section("a", 9000, server(1), check_fall=3, shutdown_sessions_on_removed=True, server_maxconn=7).backend
    others: dict[str, Any] = {name: f"another {name}" for name in names}
    assert changed(backend, **others) == replace(backend, **others)
