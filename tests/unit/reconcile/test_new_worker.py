"""A worker that was just loaded: what it has otherwise than it was rendered is set right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import structlog.testing

from router.haproxy.control import Serving
from router.haproxy.talk.stats import ServerState
from router.model import Model, RouteSection, SharedFrontend
from router.model.bases import Base
from router.plan.commands import Command, close_frontend
from router.plan.leaving import ServerName
from router.plan.running import loaded
from router.plan.section_text import SectionText, ServerLine
from router.reconcile.new_worker import NewWorker, deviations, missing
from tests.support.models import port_options, section, server, shared

ONE, TWO = server(5001, weight=2), server(5002, weight=256)
WEB = section("web", 6620, ONE, TWO, server_maxconn=7, options=port_options(maxconn=30))
SNI = shared(8443, {}, port_options(maxconn=40))
MODEL = Model((WEB,), (SNI,))
BACKEND = WEB.backend.name
GOOD = Serving(
    {"fe_tcp:6620": 30, "fe_tcp:8443": 40},
    {(BACKEND, ONE.name): ServerState(2, is_ready=True), (BACKEND, TWO.name): ServerState(256, is_ready=True)},
)
LIMITS = {(BACKEND, ONE.name): 7, (BACKEND, TWO.name): 7}


@dataclass
class Templates:
    """Templates that make of a section what the model says, unless told otherwise."""

    has_independent_sections: bool = True
    lines: Mapping[str, ServerLine] = field(default_factory=dict)
    fixed: str = "balance leastconn"
    limit: int | None = None
    unusual: bool = False

    def text(self, section: RouteSection) -> SectionText | None:
        """Give the section."""
        if self.unusual:
            return None
        usual = {
            each.name: ServerLine("h:1", each.weight, section.backend.server_maxconn or 0, ())
            for each in section.backend.servers
        }
        return SectionText(self.fixed, {**usual, **self.lines})

    def frontend_limit(self, subject: RouteSection | SharedFrontend) -> int | None:
        """Give the limit."""
        frontend = subject if isinstance(subject, SharedFrontend) else subject.frontend
        assert frontend is not None
        return self.limit if self.limit is not None else frontend.options.maxconn


@dataclass
class Worker:
    """A worker that says what it is told to, and remembers commands."""

    serves: Serving
    limits: Mapping[ServerName, int] = field(default_factory=lambda: LIMITS)
    adds: bool = False
    asked: list[frozenset[str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def serving(self) -> Serving:
        """Say it."""
        return self.serves

    def adds_backends(self) -> bool:
        """Say it."""
        return self.adds

    def server_limits(self, backends: frozenset[str]) -> Mapping[ServerName, int]:
        """Say it."""
        self.asked.append(backends)
        return self.limits

    def get_ready(self) -> None:
        """Need nothing for that."""

    def let_go(self) -> None:
        """Have nothing to close."""

    def run(self, commands: Iterable[Command]) -> None:
        """Remember."""
        self.commands += [each.text for each in commands]


def look(serving: Serving, templates: Templates | None = None) -> list[str]:
    """Give the commands that a worker gets."""
    worker = Worker(serving)
    assert not NewWorker(worker, worker).look(templates or Templates(), MODEL)
    return worker.commands


def serving(**changes: ServerState) -> Serving:
    """Give what is served, with one or two servers otherwise."""
    names = {"one": ONE.name, "two": TWO.name}
    return replace(GOOD, servers={**GOOD.servers, **{(BACKEND, names[key]): state for key, state in changes.items()}})


class Replaced(Worker):
    """Of which the former worker takes the first connections, and listens no more when it answers."""

    def serving(self) -> Serving:
        """Say it."""
        self.asked.append(frozenset())
        return replace(self.serves, frontends={}) if len(self.asked) <= 2 else self.serves


def test_what_the_former_worker_says_is_nothing_of_the_new_one() -> None:
    """Nothing is said to be lacking because the worker that was replaced has answered."""
    worker = Replaced(GOOD)
    assert not NewWorker(worker, worker).look(Templates(), MODEL)
    assert not worker.commands


def test_what_is_as_rendered_is_left_alone() -> None:
    """No command, and nothing in the log; limits are asked for where there are some."""
    worker = Worker(GOOD)
    with structlog.testing.capture_logs() as lines:
        assert not NewWorker(worker, worker).look(Templates(), MODEL)
    assert (worker.commands, worker.asked, lines) == ([], [frozenset({BACKEND})], [])
    unlimited = Worker(Serving({"fe_tcp:6620": 0}, {}))
    NewWorker(unlimited, unlimited).look(Templates(), Model((section("web", 6620),)))
    assert unlimited.asked == []


def test_a_port_of_nobody_that_is_open_is_closed() -> None:
    """The worker that was replaced may have been told to close it in place of this one."""
    worker = Worker(replace(GOOD, frontends={**GOOD.frontends, "fe_tcp:20000": 30}))
    closing = [close_frontend("fe_tcp:20000"), close_frontend("fe_tcp:20001")]
    assert not NewWorker(worker, worker).look(Templates(), MODEL, closing=closing)
    assert worker.commands == ["disable frontend fe_tcp:20000"]


def test_weights_states_and_limits_are_set_right_and_told() -> None:
    """Each by its command, all in one line of the log."""
    other = serving(one=ServerState(64, is_ready=True), two=ServerState(256, is_ready=False))
    other = replace(other, frontends={"fe_tcp:6620": 31, "fe_tcp:8443": 41})
    worker = Worker(other, {**LIMITS, (BACKEND, TWO.name): 8})
    with structlog.testing.capture_logs() as lines:
        assert not NewWorker(worker, worker).look(Templates(), MODEL)
    assert worker.commands == [
        f"set server {BACKEND}/{ONE.name} weight 2",
        f"set server {BACKEND}/{TWO.name} state ready",
        f"set maxconn server {BACKEND}/{TWO.name} 7",
        "set maxconn frontend fe_tcp:6620 30",
        "set maxconn frontend fe_tcp:8443 40",
    ]
    (told,) = lines
    assert (told["event"], told["log_level"], told["number"]) == ("worker set right", "warning", 5)
    assert told["deviations"][0] == f"{BACKEND}/{ONE.name} weight 64, not 2"


def test_what_a_template_makes_of_it_counts() -> None:
    """A weight or a limit that an administrator's template writes is not fought with; what it hides is left alone."""
    other = serving(one=ServerState(10, is_ready=True))
    templates = Templates(lines={ONE.name: ServerLine("h:1", 10, 7, ())}, limit=31)
    assert look(replace(other, frontends={"fe_tcp:6620": 31, "fe_tcp:8443": 31}), templates) == []
    assert look(GOOD, templates) == []
    assert look(other, Templates(unusual=True)) == []


def test_what_is_missing_is_named_and_nothing_else_is_done() -> None:
    """As a rule a template left it out; commands for it would fail."""
    worker = Worker(Serving({}, {}))
    lacking = NewWorker(worker, worker).look(Templates(), MODEL)
    assert lacking == missing(MODEL, worker.serves)
    assert lacking == f"fe_tcp:6620, fe_tcp:8443, {BACKEND}/{ONE.name}, {BACKEND}/{TWO.name}"
    assert worker.commands == []


def test_deviations_are_those_of_what_is_listed() -> None:
    """A server without a limit told is not compared by it."""
    assert list(deviations(MODEL, Templates(), GOOD, {})) == []


def test_backends_are_added_by_a_worker_that_says_so_alone() -> None:
    """The HAProxy that runs may be older than the one that checks configurations; that it is told in the log when it is known."""
    bases = {Base("source", None, 1, 1, 1, tcp_keepalive=True): "routes-1"}
    running = replace(loaded(MODEL, {}, ""), bases=bases)
    worker = Worker(GOOD)
    new_worker = NewWorker(worker, worker)
    with structlog.testing.capture_logs() as logs:
        assert not new_worker.able(running).bases
        worker.adds = True
        assert [new_worker.able(running).bases for _ in range(2)] == [bases, bases]
    assert [(line["event"], line["added"]) for line in logs] == [
        ("backends while haproxy runs", False),
        ("backends while haproxy runs", True),
    ]
