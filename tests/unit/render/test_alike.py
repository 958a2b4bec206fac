"""What sections are rendered to that are like others is what each would be rendered to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from router.model import Asker, Frontend, Model, RouteSection
from router.model.refusing import REFUSING
from router.render import Renderer, TemplateSet
from router.settings import RenderSettings
from tests.support.counting import instructions
from tests.support.models import port_options, section, server
from tests.support.random_sections import RandomSections

_SETTINGS = RenderSettings(addresses={"pg": ("192.0.2.1", "2001:db8::1")})
_TEMPLATES = TemplateSet.load()
_RANDOM = RandomSections(
    addresses=("10.0.0.1", "fd00::1", REFUSING),
    ports=(80, 65_535),
    weights=(0, 1, 256),
    checks=(True, True, False),
    other_ids=(1, 2, 1_048_575),
)
_ASKERS = (
    Asker.route("team", "db", "1"),
    Asker.route("o'%s{}", "a%(port)d"),
    Asker("", "Service", "team", "db", "pg"),
    Asker("gateway.networking.k8s.io", "Gateway", "team", "gw", "9000"),
)


@pytest.fixture(scope="module")
def of_an_admin(tmp_path_factory: pytest.TempPathFactory) -> TemplateSet:
    """Give the same templates beside a helper that nobody uses: what an admin's make of a section is known of none before it is rendered."""
    folder = tmp_path_factory.mktemp("templates")
    Path(folder, "_unused.j2").write_text("")
    templates = TemplateSet.load(folder)
    assert not templates.is_packaged
    return templates


@st.composite
def _sections(draw: st.DrawFn) -> RouteSection:
    made = draw(_RANDOM.one("a", 9000) | _RANDOM.one("a", None))
    asker = draw(st.sampled_from(_ASKERS))
    backend = replace(
        made.backend,
        name=draw(st.sampled_from(("be_tcp:team:db", "be_tcp:%s:%(port)d", "be_tcp:9000:9000"))),
        send_proxy=draw(st.sampled_from((None, None, "v1", "v2", "v2-ssl"))) if made.backend.tls is None else None,
        check_fall=draw(st.sampled_from((None, 3))),
        tcp_keepalive=draw(st.booleans()),
        servers=tuple(
            structs.replace(each, name=draw(st.sampled_from(("", "%s", ":9000"))) + each.name)
            for each in made.backend.servers
        ),
    )
    frontend = made.frontend
    if frontend is not None and frontend.tls is None:
        port, (address, ips) = (
            draw(st.sampled_from((9000, 1, 65_535))),
            draw(st.sampled_from((("", ()), ("pg", ("192.0.2.1",))))),
        )
        options = port_options(
            maxconn=draw(st.sampled_from((None, 9))),
            accept_proxy=draw(st.sampled_from((False, False, False, True))),
            tcp_keepalive=draw(st.booleans()),
        )
        frontend = Frontend(port, options, address, ips)
    return replace(made, asker=asker, backend=backend, frontend=frontend)


@given(sections=st.lists(_sections(), min_size=2, max_size=6))
def test_sections_are_rendered_as_each_by_itself(of_an_admin: TemplateSet, sections: Sequence[RouteSection]) -> None:
    """Whatever they have in common."""
    known, anew = Renderer(_TEMPLATES, _SETTINGS), Renderer(of_an_admin, _SETTINGS)
    for each in sections:
        model = Model((each,))
        found, expected = known.render(model), anew.render(model)
        assert (found.config, found.files) == (expected.config, expected.files)
        lines = range(1, found.config.count(b"\n") + 1)
        assert [found.owner(line) for line in lines] == [expected.owner(line) for line in lines]


def test_what_cannot_be_written_is_told_of_the_section_itself() -> None:
    """A lone surrogate can be no part of a file."""
    odd = section("odd", 9000, structs.replace(server(1), name="\ud800"))
    rendered = Renderer(_TEMPLATES, _SETTINGS).render(Model((section("good", 9001, server(1)), odd)))
    assert [failure.owner for failure in rendered.failures] == [odd.asker]
    assert b"fe_tcp:9001" in rendered.config
    assert b"fe_tcp:9000" not in rendered.config


def test_one_more_that_is_alike_costs_little() -> None:
    """The template is not run for each of thousands, which takes some 4,000 instructions."""

    def cold(number: int) -> int:
        routes = tuple(section(f"r{each}", 9000 + each, server(1), server(2), server(3)) for each in range(number))
        renderer = Renderer(_TEMPLATES, _SETTINGS)
        return instructions(lambda: renderer.render(Model(routes)))

    assert (cold(60) - cold(10)) / 50 < 650
