"""A HAProxy that may not have enough open files: what the loop does without, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace as replace_struct

from router.admission.verdicts import Reason
from router.haproxy.process.descriptors import LEAST_CONNECTIONS, needed
from router.model import Step
from router.objects.route import Route
from router.settings import PortRanges
from tests.support.stage import AT_ONCE, Stage, asker, key, route

Logged = list[structlog.typing.EventDict]


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[Stage]:
    """A stage with a pool of three ports, of which Routes ask for others."""
    stage = Stage(tmp_path, AT_ONCE, PortRanges.parse("7001-7003"))
    yield stage
    stage.close()


def _room_for(stage: Stage, ports: int) -> None:
    """Let HAProxy have files for so many ports, and for nothing else, old workers included."""
    stage.files = replace(stage.files, workers=0)
    stage.files = replace(stage.files, limit=needed(stage.files, ports, 0, LEAST_CONNECTIONS))


def _serve(stage: Stage, *routes: Route, gone: str = "") -> None:
    stage.store.put(*routes)
    if gone:
        stage.store.delete(Route, key(gone))
    stage.store.mark_synced("test")
    stage.turn()


def _aged(name: str, port: int, year: int) -> Route:
    made = route(name, port)
    return replace_struct(made, metadata=replace_struct(made.metadata, creation_timestamp=f"{year}-01-01T00:00:00Z"))


def test_a_new_route_that_does_not_fit_is_set_aside_alone(stage: Stage, logged: Logged) -> None:
    """Those that are served stay so, though the new one is older; it is told, and served as soon as one of them is gone."""
    _room_for(stage, 2)
    _serve(stage, _aged("b", 6621, 2021), _aged("c", 6622, 2022))
    assert stage.haproxy.serves == {6621, 6622}
    _serve(stage, _aged("a", 6620, 2020))
    assert stage.haproxy.serves == {6621, 6622}
    assert stage.verdicts() == {"a": Reason.OUT_OF_FILES, "b": None, "c": None}
    verdict = stage.controller.snapshot.verdicts[asker("a")]
    assert verdict.set_aside
    assert "may not open as many files" in verdict.message
    loads = len(stage.haproxy.loads)
    stage.turn()
    assert len(stage.haproxy.loads) == loads
    [told] = [line for line in logged if line["event"] == "too few files for haproxy"]
    assert told["log_level"] == "error"
    _serve(stage, gone="b")
    assert stage.haproxy.serves == {6620, 6622}
    assert stage.verdicts() == {"a": None, "c": None}


def test_at_the_start_the_older_have_their_ports(stage: Stage) -> None:
    """Every replica leaves out the same Routes, whatever came first."""
    _room_for(stage, 2)
    _serve(stage, _aged("a", 6620, 2023), _aged("b", 6621, 2021), _aged("c", 6622, 2022), route("d", 6623))
    assert stage.haproxy.serves == {6621, 6622}
    assert {name for name, reason in stage.verdicts().items() if reason} == {"a", "d"}


def test_the_pool_goes_before_a_route(pooled: Stage) -> None:
    """Ports that nobody asked for are not declared where Routes need the files."""
    _room_for(pooled, 2)
    _serve(pooled, _aged("a", 6620, 2020), _aged("b", 6621, 2021))
    assert pooled.haproxy.serves == {6620, 6621}
    assert set(pooled.verdicts().values()) == {None}
    assert pooled.room.now().saved == {Step.CHECKS, Step.CONNECTIONS, Step.POOL}


def test_more_files_bring_everything_back_at_the_next_load(pooled: Stage, logged: Logged) -> None:
    """HAProxy's container came back with a higher limit: what is loaded next has all of it."""
    _room_for(pooled, 1)
    routes = (_aged("a", 6620, 2020), _aged("b", 6621, 2021))
    _serve(pooled, *routes)
    assert pooled.haproxy.serves == {6620}
    pooled.files = replace(pooled.files, limit=1_000_000)
    _serve(pooled, *routes, _aged("c", 6622, 2022))
    assert pooled.haproxy.serves >= {6620, 6621, 6622, 7001, 7002, 7003}
    assert [line for line in logged if line["event"] == "haproxy has files enough again"]


def test_little_room_is_told_before_it_is_too_late(stage: Stage, logged: Logged) -> None:
    """Over four fifths of the limit one line says so, and nothing is done without yet."""
    stage.files = replace(stage.files, max_connections=LEAST_CONNECTIONS)
    stage.files = replace(stage.files, limit=needed(stage.files, 20, 0, LEAST_CONNECTIONS))
    _serve(stage, *(route(f"r{number}", 6620 + number) for number in range(5)))
    stage.room.now()
    [told] = [line for line in logged if line["event"] == "files for haproxy run short"]
    assert (told["needed"], told["limit"]) == (stage.files.limit - 15, stage.files.limit)
    assert len(stage.haproxy.serves) == 5
    assert stage.room.now().saved == frozenset()
