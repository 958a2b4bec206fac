"""What a section says after its servers changed is what it would say if it were rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from router.admission.pool import PortPool
from router.model import Backend, Model, RouteSection, Server
from router.model.tls import ServerTls
from router.render import Renderer, TemplateSet
from router.render.derived import derived
from router.settings import PortRanges, RenderSettings, RouteDefaults
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
    after = _with_servers(before, [structs.replace(each, verify_host=verify_host) for each in servers])
    after = replace(after, backend=replace(after.backend, shutdown_sessions_on_removed=removed))
    again = _with_servers(after, [server(9), *servers[:1]])
    for former, current in ((before, after), (after, again)):
        text = renderer.text_after(former, current)
        assert text == Renderer(_TEMPLATES, _SETTINGS).text(current)
        assert renderer.text(current) is text
    assert renderer.render(Model((again,))).config == Renderer(_TEMPLATES, _SETTINGS).render(Model((again,))).config
    assert renderer.text(again) == Renderer(_TEMPLATES, _SETTINGS).text(again)


@given(st.lists(_RANDOM.one("a", 9000) | _RANDOM.one("b", 9001) | _RANDOM.one("c", None), min_size=2, max_size=3))
@settings(max_examples=50)
def test_first_servers_are_derived_from_those_that_others_had(sections: list[RouteSection]) -> None:
    """Whatever was seen of others before: what got its first servers says what it would if nothing were remembered."""
    renderer, plain = Renderer(_TEMPLATES, _SETTINGS), Renderer(_TEMPLATES, _SETTINGS)
    for each in sections:
        assert renderer.text_after(_with_servers(each, []), each) == plain.text(each)


def test_a_file_of_another_route_is_never_named() -> None:
    """Routes that verify their pods by the same authorities have a file each: the other's goes with that one."""
    renderer = Renderer(_TEMPLATES, _SETTINGS)
    for name, port in (("a", 9000), ("b", 9001)):
        made = section(name, port, server(1))
        made = replace(made, backend=replace(made.backend, tls=ServerTls("PEM of both")))
        text = renderer.text_after(_with_servers(made, []), made)
        assert text == Renderer(_TEMPLATES, _SETTINGS).text(made)


@given(_RANDOM.one("a", 9000), _RANDOM.one("a", 9000))
def test_other_differences_are_found(before: RouteSection, after: RouteSection) -> None:
    """A section that differs in more says what it is rendered to."""
    renderer = Renderer(_TEMPLATES, _SETTINGS)
    assert renderer.text_after(before, after) == Renderer(_TEMPLATES, _SETTINGS).text(after)


_PLACE = PortPool(PortRanges.parse("9000"), 1, RouteDefaults()).sections(Model())


@given(
    st.lists(_RANDOM.one("a", 9000) | _RANDOM.one("b", 9000), min_size=1, max_size=4),
    st.lists(_RANDOM.one("c", None), max_size=3),
    st.booleans(),
)
def test_what_is_derived_in_a_place_is_what_is_rendered_there(
    dedicated: list[RouteSection],
    sharing: list[RouteSection],
    accept_proxy: bool,  # noqa: FBT001 - Hypothesis
) -> None:
    """Whatever was seen there before: any Route says in a place of the pool what it would if nothing were remembered."""
    renderer = Renderer(_TEMPLATES, _SETTINGS)
    if accept_proxy:
        defaults = RouteDefaults()
        pool = PortPool(PortRanges.parse("9000"), 1, defaults).sections(Model())
        frontend = pool[0].frontend
        assert frontend is not None
        proxied = replace(frontend, options=replace(frontend.options, accept_proxy=True))
        places: tuple[RouteSection, ...] = (replace(pool[0], frontend=proxied), pool[1])
        dedicated = [replace(each, frontend=proxied) for each in dedicated]
    else:
        places = _PLACE
    for place, sections in zip(places, (dedicated, sharing), strict=True):
        usual = [replace(place, asker=each.asker, backend=_as(place, each)) for each in sections]
        for each in (*sections, *usual, *sections, *usual):
            assert renderer.text_in_place(each, place) == Renderer(_TEMPLATES, _SETTINGS).text_in_place(each, place)


def _as(place: RouteSection, section: RouteSection) -> Backend:
    """Give the backend of a Route that asks for nothing but where its servers are."""
    return replace(place.backend, name=section.backend.name, allowlist=None, servers=section.backend.servers)


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


def test_nothing_is_rendered_for_the_first_server_where_another_had_one_like_it() -> None:
    """As where a route comes to a listener that had none, or an application is scaled up from zero."""
    own = _Counting.load()
    assert isinstance(own, _Counting)
    renderer = Renderer(own, _SETTINGS)
    for number, name in enumerate("ab"):
        before, after = section(name, 9000 + number), section(name, 9000 + number, server(1))
        renderer.render(Model((before,)))
        _Counting.rendered = 0
        text = renderer.text_after(before, after)
        assert text is not None
        assert list(text.servers) == [server(1).name]
        assert (_Counting.rendered == 0) is bool(number)


def test_nothing_is_rendered_for_one_more_route_in_a_place() -> None:
    """Once one was seen there; its servers are all that is new."""
    own = _Counting.load()
    assert isinstance(own, _Counting)
    renderer = Renderer(own, _SETTINGS)
    pool = PortPool(PortRanges.parse("9000-9001"), 0, RouteDefaults()).sections(Model())
    renderer.render(Model(pool=pool))
    for number, place in enumerate(pool):
        _Counting.rendered = 0
        text = renderer.text_in_place(replace(place, backend=replace(place.backend, servers=(server(1),))), place)
        assert text is not None
        assert list(text.servers) == [server(1).name]
        assert _Counting.rendered == (0 if number else 1)


@pytest.mark.parametrize(
    ("former", "current"),
    [
        pytest.param((), (server(1),), id="the first one"),
        pytest.param((server(1),), (structs.replace(server(2), check=False),), id="the first that is not checked"),
        pytest.param((server(1),), (structs.replace(server(2), name="pod:it's"),), id="a name that the text quotes"),
    ],
)
def test_what_no_other_server_tells_is_rendered(former: tuple[Server, ...], current: tuple[Server, ...]) -> None:
    """Of a section without a server of the same kind it is not known what that has."""
    before = section("a", 9000, *former)
    text = Renderer(_TEMPLATES, _SETTINGS).text(before)
    assert text is not None
    assert derived(text, before, _with_servers(before, list(current))) is None
