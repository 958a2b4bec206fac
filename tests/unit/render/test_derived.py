"""What a section says after its servers changed is what it would say if it were rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.model import Model, RouteSection, Server
from router.render import Renderer, TemplateSet
from router.render.derived import derived
from router.settings import RenderSettings
from tests.support.models import section, server
from tests.support.random_sections import RandomSections

_SETTINGS = RenderSettings()
_TEMPLATES = TemplateSet.load()
_RANDOM = RandomSections(
    addresses=("10.0.0.1", "10.0.0.2", "fd00::1"),
    ports=(80, 81),
    weights=(0, 1, 256),
    checks=(True, True, False),
    other_ids=(1, 2, 7),
)


def _with_servers(former: RouteSection, servers: list[Server]) -> RouteSection:
    return replace(former, backend=replace(former.backend, servers=tuple(servers)))


@given(
    _RANDOM.one("a", 9000) | _RANDOM.one("a", None),
    _RANDOM.servers(),
    st.booleans(),
    st.sampled_from(("", "", "db.team.svc")),
)
def test_what_is_derived_is_what_is_rendered(
    before: RouteSection,
    servers: list[Server],
    removed: bool,  # noqa: FBT001 - Hypothesis
    verify_host: str,
) -> None:
    """Any servers in the place of any others, and so again after that; the next configuration has the same bytes."""
    renderer = Renderer(_TEMPLATES, _SETTINGS)
    after = _with_servers(before, [replace(each, verify_host=verify_host) for each in servers])
    after = replace(after, backend=replace(after.backend, shutdown_sessions_on_removed=removed))
    again = _with_servers(after, [server(9), *servers[:1]])
    for former, current in ((before, after), (after, again)):
        text = renderer.text_after(former, current)
        assert text == Renderer(_TEMPLATES, _SETTINGS).text(current)
        assert renderer.text(current) is text
    assert renderer.render(Model((again,))).config == Renderer(_TEMPLATES, _SETTINGS).render(Model((again,))).config
    assert renderer.text(again) == Renderer(_TEMPLATES, _SETTINGS).text(again)


@given(_RANDOM.one("a", 9000), _RANDOM.one("a", 9000))
def test_other_differences_are_found(before: RouteSection, after: RouteSection) -> None:
    """A section that differs in more says what it is rendered to."""
    renderer = Renderer(_TEMPLATES, _SETTINGS)
    assert renderer.text_after(before, after) == Renderer(_TEMPLATES, _SETTINGS).text(after)


class _Counting(TemplateSet):
    rendered = 0

    def render(self, name: str, variables: Mapping[str, object]) -> str:
        type(self).rendered += 1
        return super().render(name, variables)


def _counted(templates: _Counting) -> int:
    before, after = section("a", 9000, server(1), server(2)), section("a", 9000, server(2), server(3))
    renderer = Renderer(templates, _SETTINGS)
    renderer.render(Model((before,)))
    type(templates).rendered = 0
    assert renderer.text_after(before, after) is not None
    return type(templates).rendered


def test_nothing_is_rendered_when_a_server_changes(tmp_path: Path) -> None:
    """With the router's own templates; those of an admin may make of a server what they like, and are asked each time."""
    own = _Counting.load()
    assert isinstance(own, _Counting)
    assert _counted(own) == 0
    (tmp_path / "route.cfg.j2").write_text('{% include "packaged/route.cfg.j2" %}')
    admins = _Counting.load(tmp_path)
    assert isinstance(admins, _Counting)
    assert _counted(admins) == 1


@pytest.mark.parametrize(
    ("former", "current"),
    [
        pytest.param((), (server(1),), id="the first one"),
        pytest.param((server(1),), (replace(server(2), check=False),), id="the first that is not checked"),
        pytest.param((server(1),), (replace(server(2), name="pod:it's"),), id="a name that the text quotes"),
    ],
)
def test_what_no_other_server_tells_is_rendered(former: tuple[Server, ...], current: tuple[Server, ...]) -> None:
    """Of a section without a server of the same kind it is not known what that has."""
    before = section("a", 9000, *former)
    text = Renderer(_TEMPLATES, _SETTINGS).text(before)
    assert text is not None
    assert derived(text, before, _with_servers(before, list(current))) is None
