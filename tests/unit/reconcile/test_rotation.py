"""Servers take their turns in another order after each reload, some Routes at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

import pytest

from router.errors import UnexpectedReply
from router.model import Model, RouteSection
from router.plan.commands import Command
from router.plan.running import Running, loaded
from router.plan.section_text import SectionText, ServerLine
from router.reconcile.rotation import Rotation, turned
from tests.support.models import section, server

ONE, TWO = server(5001, weight=2), server(5002, weight=256)
WEB = section("web", 6620, ONE, TWO)
BACKEND = WEB.backend.name
MANY = tuple(section(f"app-{number:03}", 7000 + number, ONE, TWO) for number in range(250))
FIRST = (f"set server {BACKEND}/{ONE.name} weight 3", f"set server {BACKEND}/{ONE.name} weight 2")


@dataclass
class Templates:
    """Templates that make of a section what the model says, unless told otherwise."""

    has_independent_sections: bool = True
    lines: Mapping[str, ServerLine] = field(default_factory=dict)
    fixed: str = "balance leastconn"

    def text(self, section: RouteSection) -> SectionText | None:
        """Give the section."""
        usual = {each.name: ServerLine("h:1", each.weight, 0, ()) for each in section.backend.servers}
        return SectionText(self.fixed, {**usual, **self.lines})


@dataclass
class Worker:
    """A worker that remembers commands."""

    commands: list[str] = field(default_factory=list)
    fails: bool = False

    def run(self, commands: Iterable[Command]) -> None:
        """Remember."""
        if self.fails:
            raise UnexpectedReply("no")
        self.commands += [each.text for each in commands]


def running(*sections: RouteSection) -> Running:
    """Give what a worker has that was loaded with these."""
    return loaded(Model(sections), {}, "")


def test_each_reload_begins_with_another_server() -> None:
    """Those before it are put behind the others, by a weight that changes and changes back; without a reload nothing is due."""
    worker = Worker()
    rotation = Rotation(worker)
    rotation.go_on(running(WEB))
    assert (rotation.is_due, worker.commands) == (False, [])
    taken = []
    for _ in range(4):
        worker.commands.clear()
        rotation.begin(Templates(), Model((WEB,)))
        rotation.go_on(running(WEB))
        assert not rotation.is_due
        taken.append(tuple(worker.commands))
    assert sorted(set(taken)) == [(), FIRST]
    assert taken[0] != taken[1]
    assert taken[:2] == taken[2:]


def test_many_are_taken_in_parts() -> None:
    """So that a change which comes meanwhile waits for no more than a hundred; at last all have been taken once."""
    worker, whole = Worker(), running(*MANY)
    rotation = Rotation(worker)
    rotation.begin(Templates(), whole.model)
    parts = []
    while rotation.is_due:
        worker.commands.clear()
        rotation.go_on(whole)
        parts.append(list(worker.commands))
    wanted = [[each.text for each in turned(section, Templates(), 1)] for section in MANY]
    assert parts == [list(chain.from_iterable(wanted[begin : begin + 100])) for begin in (0, 100, 200)]


def test_what_was_changed_meanwhile_keeps_its_order() -> None:
    """Its weights may be others by now, its servers gone, or another section serve it."""
    worker = Worker()
    rotation = Rotation(worker)
    other = section("web", 6620, ONE, server(5003))
    for since in (running(other), running(), replace(running(WEB), closed=frozenset({BACKEND}))):
        for _ in range(2):
            rotation.begin(Templates(), Model((WEB,)))
            rotation.go_on(since)
    assert (worker.commands, rotation.is_due) == ([], False)


def test_the_rest_is_left_where_a_command_fails() -> None:
    """What the worker has is not known then; and so where nothing is known of it for another reason."""
    worker = Worker(fails=True)
    rotation = Rotation(worker)
    rotation.begin(Templates(), Model(MANY))
    with pytest.raises(UnexpectedReply):
        rotation.go_on(running(*MANY))
    assert not rotation.is_due
    rotation.begin(Templates(), Model(MANY))
    rotation.stop()
    assert not rotation.is_due


def texts(of: RouteSection, templates: Templates | None = None) -> list[list[str]]:
    """Give the commands of many reloads for one Route."""
    return [[each.text for each in turned(of, templates or Templates(), turn)] for turn in range(64)]


def test_turns_are_taken_by_those_that_take_connections() -> None:
    """Not by draining ones, nor where the order means something or nothing; and of thousands only some are moved."""
    draining = server(5003, weight=0)
    assert not any(
        draining.name in text for commands in texts(section("web", 1, ONE, TWO, draining)) for text in commands
    )
    assert not any(map(any, texts(section("web", 1, ONE, draining))))
    for balance in ("source", "first", "random"):
        assert not any(map(any, texts(section("web", 1, ONE, TWO, balance=balance))))
    many = section("web", 1, *(server(port) for port in range(1000, 4000)))
    assert max(map(len, texts(many))) == 2 * 15


def test_turns_follow_an_administrators_template() -> None:
    """Its weights are restored, and what it balances otherwise is left alone."""
    own = Templates(has_independent_sections=False, lines={ONE.name: ServerLine("h:1", 256, 0, ())})
    found = {text for commands in texts(WEB, own) for text in commands}
    assert found == {f"set server {BACKEND}/{ONE.name} weight {weight}" for weight in (255, 256)}
    assert not any(map(any, texts(WEB, replace(own, fixed="balance static-rr"))))
