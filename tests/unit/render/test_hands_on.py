"""What templates write so that HAProxy's next worker knows what it counted of clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.model import ConnectionLimit, Model
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from tests.support.models import section, server

_PEERS = "peers tcp_router"
_OWN_LIMITS = "defaults ports from common\ndefaults routes from common\ndefaults from common\n"


def _text(limit: ConnectionLimit | None, templates: TemplateSet) -> str:
    route = section("a", 1001, server(5432), connection_limit=limit)
    rendered = Renderer(templates, RenderSettings(state_dir=Path("/state"))).render(Model((route,)))
    assert rendered.failures == ()
    return rendered.config.decode()


@pytest.mark.parametrize(
    ("limit", "times"),
    [
        pytest.param(ConnectionLimit(None, 5), 2, id="a Route has limits of each client"),
        pytest.param(None, 0, id="none has"),
    ],
)
def test_the_section_is_there_where_it_is_named(limit: ConnectionLimit | None, times: int) -> None:
    """It makes HAProxy's end longer, and is written only where a table of a Route needs it."""
    assert _text(limit, TemplateSet.load()).count(_PEERS) == times


def test_templates_without_it_are_served_as_before(tmp_path: Path) -> None:
    """An admin's own template for limits may be older than the section: Routes do not name what HAProxy would not know."""
    (tmp_path / "limits.cfg.j2").write_text(_OWN_LIMITS)
    text = _text(ConnectionLimit(None, 5), TemplateSet.load(tmp_path))
    assert _PEERS not in text
    assert "stick-table type ipv6 size 100k expire 30s store conn_cur,conn_rate(3s)\n" in text
