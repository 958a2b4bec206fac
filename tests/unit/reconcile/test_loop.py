"""The loop, turned by hand against a HAProxy that only pretends: what it decides to do, and when."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import structlog

from router.admission.places import Place
from router.admission.verdicts import Reason
from router.errors import HaproxyUnreachable, TemplateError
from router.objects.meta import ObjectMeta
from router.objects.route import Route
from router.plan import ReloadCause
from router.reconcile.timing import Timing
from router.settings import PortRanges
from tests.support.stage import NEVER_AGAIN, PREFIX, Stage, asker, key, route, start
from tests.support.waiting import wait_for


def test_nothing_is_applied_before_the_inputs_synced(stage: Stage) -> None:
    """Objects that arrive before the sync wait; with the sync they are applied."""
    stage.store.put(route("a", 7001))
    stage.turn()
    assert stage.haproxy.loads == []
    assert not stage.controller.snapshot.ready
    stage.store.mark_synced("test")
    stage.turn()
    assert stage.haproxy.serves == {7001}
    assert stage.controller.snapshot.ready


def test_no_objects_at_all_still_start_haproxy(stage: Stage) -> None:
    """A router without Routes is ready too."""
    start(stage)
    assert stage.haproxy.serves == set()
    assert stage.controller.snapshot.ready


def test_no_difference_no_reload(stage: Stage) -> None:
    """An object that changed in nothing that matters is no reason for a reload."""
    start(stage, route("a", 7001))
    stage.store.put(route("a", 7001))
    stage.turn()
    stage.turn()
    assert len(stage.haproxy.loads) == 1


def test_changes_within_the_interval_are_one_reload(slow_stage: Stage) -> None:
    """The first reload runs at once; what comes after it waits, and is served once, whole."""
    start(slow_stage, route("a", 7001))
    slow_stage.store.put(route("b", 7002))
    slow_stage.turn()
    slow_stage.store.put(route("c", 7003))
    slow_stage.turn()
    assert len(slow_stage.haproxy.loads) == 1
    assert set(slow_stage.verdicts()) == {"a"}


def test_routes_that_come_one_after_the_other_are_one_reload(tmp_path: Path) -> None:
    """Also where no interval keeps them back: the first waits for its company, and commands do not wait at all."""
    timing = Timing(reload_interval_s=0, gather_s=(0.2, 5), failure_retry_s=(0, 0))
    stage = Stage(tmp_path, timing)
    start(stage, route("a", 7001))
    assert len(stage.haproxy.loads) == 1
    for number in range(5):
        stage.store.put(route(f"b{number}", 7010 + number))
        stage.turn()
    assert 0 < stage.controller.pause_s() <= 0.2

    def is_served() -> bool:
        stage.turn()
        return len(stage.haproxy.loads) > 1

    wait_for(is_served, "the reload")
    assert stage.haproxy.serves == {7001, 7010, 7011, 7012, 7013, 7014}
    stage.close()


def test_refused_route_costs_only_itself(stage: Stage) -> None:
    """HAProxy refuses one Route's lines: that Route is rejected, the others are served, in the same turn."""
    stage.haproxy.refused = {"team:bad"}
    start(stage, route("good", 7001), route("bad", 7002))
    assert stage.haproxy.serves == {7001}
    assert stage.verdicts() == {"good": None, "bad": Reason.CONFIG_REJECTED}
    assert "unknown keyword" in stage.controller.snapshot.verdicts[asker("bad")].message
    stage.turn()
    assert len(stage.haproxy.loads) == 1


def test_refused_route_is_tried_again_when_it_changes(stage: Stage) -> None:
    """A new version of the refused Route is tried at once."""
    stage.haproxy.refused = {"team:bad"}
    start(stage, route("good", 7001), route("bad", 7002))
    stage.haproxy.refused = set()
    stage.turn()
    assert stage.haproxy.serves == {7001}
    stage.store.put(route("bad", 7003))
    stage.turn()
    assert stage.haproxy.serves == {7001, 7003}
    assert stage.verdicts() == {"good": None, "bad": None}


def test_taken_port_is_never_shown_to_haproxy(stage: Stage) -> None:
    """A port that another process has costs its Route alone, without a load that fails; freed, it is served."""
    stage.haproxy.taken_ports = {7002}
    start(stage, route("good", 7001), route("late", 7002))
    assert [stage.haproxy.ports(text) for text in stage.haproxy.loads] == [{7001}]
    assert stage.verdicts() == {"good": None, "late": Reason.PORT_UNAVAILABLE}
    stage.haproxy.taken_ports = set()
    stage.turn()
    assert stage.haproxy.serves == {7001, 7002}
    assert stage.verdicts() == {"good": None, "late": None}


def test_port_taken_in_the_last_moment_is_found_by_the_load(stage: Stage) -> None:
    """A port that only HAProxy finds taken: the file is restored and the rest is loaded."""
    start(stage, route("good", 7001))
    stage.haproxy.taken_ports = stage.haproxy.unnoticed_ports = {7002}
    stage.store.put(route("late", 7002), route("other", 7003))
    stage.turn()
    assert stage.haproxy.serves == {7001, 7003}
    assert stage.haproxy.ports(stage.haproxy.config.read_text()) == {7001, 7003}
    assert stage.verdicts()["late"] is Reason.PORT_UNAVAILABLE


def test_unheard_load_is_repeated(stage: Stage) -> None:
    """When nobody knows what HAProxy serves, it is loaded anew until that is known."""
    start(stage, route("a", 7001))
    stage.haproxy.load_error = HaproxyUnreachable("master.sock: no answer within 60 seconds")
    stage.store.put(route("b", 7002))
    stage.turn()
    stage.turn()
    assert "no answer" in stage.controller.snapshot.problem
    assert stage.controller.snapshot.ready
    stage.haproxy.load_error = None
    stage.turn()
    assert stage.haproxy.serves == {7001, 7002}
    assert stage.controller.snapshot.problem == ""


def test_ended_haproxy_is_restarted_at_once_then_with_pauses(slow_stage: Stage) -> None:
    """The first end costs no pause; when the restarted one ends too, the next restart waits."""
    start(slow_stage, route("a", 7001))
    slow_stage.haproxy.exit_code = 137
    slow_stage.turn()
    assert slow_stage.haproxy.restarts == 1
    slow_stage.haproxy.exit_code = 137
    slow_stage.turn()
    slow_stage.turn()
    assert slow_stage.haproxy.restarts == 1
    assert slow_stage.witness.ends == 2
    assert slow_stage.controller.snapshot.applied is None


def test_restart_that_fails_becomes_a_start_with_what_can_be_served(stage: Stage) -> None:
    """A HAProxy that does not come back, because a port was taken meanwhile, is started without that port."""
    start(stage, route("good", 7001), route("lost", 7002))
    stage.haproxy.exit_code = 137
    stage.haproxy.restart_fails = True
    stage.haproxy.taken_ports = {7002}
    stage.turn()
    assert stage.haproxy.serves == {7001}
    assert stage.verdicts() == {"good": None, "lost": Reason.PORT_UNAVAILABLE}


def write_template(stage: Stage, text: str) -> None:
    """Change the Routes' template as its watcher would notice it."""
    (stage.template_dir / "route.cfg.j2").write_text(text)
    stage.controller.templates_changed()


GOOD_TEMPLATE = "frontend fe_tcp:{{ route.frontend.port }}\n    # new\n"


def test_changed_template_renders_everything_anew(stage: Stage) -> None:
    """New templates are taken up by a reload with that reason."""
    start(stage, route("a", 7001))
    write_template(stage, GOOD_TEMPLATE)
    stage.turn()
    assert "# new" in stage.haproxy.loads[-1]
    assert stage.witness.results[-1] == ("success", frozenset({ReloadCause.TEMPLATES_CHANGED}))
    stage.turn()
    assert len(stage.haproxy.loads) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("{% if %}", "route.cfg.j2:1", id="no template"),
        pytest.param("x\n{{ nothing }}\n", "route.cfg.j2:2", id="undefined variable"),
        pytest.param("x\nbogus\n", "route.cfg.j2:2", id="HAProxy refuses"),
    ],
)
def test_broken_template_changes_nothing(stage: Stage, text: str, problem: str) -> None:
    """A broken template is told with file and line; what ran runs on, and later changes use the former templates."""
    start(stage, route("a", 7001))
    stage.haproxy.refused = {"bogus"}
    write_template(stage, text)
    stage.turn()
    assert len(stage.haproxy.loads) == 1
    assert problem in stage.controller.snapshot.template_problem
    assert stage.verdicts() == {"a": None}
    stage.store.put(route("b", 7002))
    stage.turn()
    assert stage.haproxy.serves == {7001, 7002}
    write_template(stage, GOOD_TEMPLATE)
    stage.turn()
    assert "# new" in stage.haproxy.loads[-1]
    assert stage.controller.snapshot.template_problem == ""


def test_run_ends_when_told_and_takes_haproxy_down(stage: Stage) -> None:
    """``end`` ends the loop; HAProxy is stopped even when the loop breaks."""
    stage.controller.end()
    stage.controller.run()
    assert stage.haproxy.is_stopped


def test_stopping_is_not_ready_but_goes_on(stage: Stage) -> None:
    """After ``begin_stop`` changes are still applied, while the router is not ready."""
    start(stage, route("a", 7001))
    stage.controller.begin_stop()
    stage.store.put(route("b", 7002))
    stage.turn()
    assert stage.haproxy.serves == {7001, 7002}
    assert not stage.controller.snapshot.ready


def test_verdicts_are_logged_once(stage: Stage, logged: list[structlog.typing.EventDict]) -> None:
    """Each Route's verdict is one line with its namespace and name, and none when nothing changed."""
    bad = route("bad", 7002)
    assert bad.metadata.annotations is not None
    bad.metadata.annotations[f"{PREFIX}balance"] = "fair"
    start(stage, route("a", 7001), bad)
    stage.turn()
    lines = [line for line in logged if line["event"].startswith("route ")]
    about = [(line["event"], line["route"]) for line in lines if "warning" not in line["event"]]
    assert about == [("route admitted", "a"), ("route rejected", "bad")]
    assert lines[-1]["namespace"] == "team"


def test_reporter_is_told_what_changed(stage: Stage) -> None:
    """Each turn in which a Route changed is reported once, with the Routes that did, and turns without change are not."""
    start(stage, route("a", 7001))
    stage.turn()
    foreign = Route(metadata=ObjectMeta(name="foreign", namespace="team"))
    stage.store.put(foreign)
    stage.turn()
    stage.store.delete(Route, key("a"))
    stage.turn()
    stage.turn()
    told = [
        ({k.name for k in snapshot.verdicts}, {k.name for _, k in changed})
        for snapshot, changed in stage.witness.reported
    ]
    assert told == [({"a"}, {"a"}), ({"a"}, {"foreign"}), (set(), {"a"})]
    assert stage.witness.served == 3


def test_template_error_at_load_is_a_template_error(stage: Stage) -> None:
    """The stage itself: loading a broken template raises, as the controller relies on."""
    (stage.template_dir / "route.cfg.j2").write_text("{% if %}")
    with pytest.raises(TemplateError):
        stage.renderer()


def test_a_route_that_flaps_has_haproxy_loaded_at_a_bounded_rate(tmp_path: Path) -> None:
    """Good edits, each of which needs a reload: after the first few they wait together, and another team's Route does not."""
    timing = Timing(
        reload_interval_s=0,
        gather_s=(0, 0),
        port_retry_s=0,
        refused_retry_s=(1000, 1000),
        failure_retry_s=(0, 0),
        namespace_reloads=(5, 1000),
    )
    stage = Stage(tmp_path, timing)
    start(stage, route("a", 7001))
    for number in range(40):
        stage.store.put(route("a", 7002 + number))
        stage.turn()
    assert len(stage.haproxy.loads) == 1 + 5
    quiet = route("b", 7100)
    stage.store.put(msgspec.structs.replace(quiet, metadata=msgspec.structs.replace(quiet.metadata, namespace="quiet")))
    stage.turn()
    assert stage.haproxy.serves == {7006, 7100}
    stage.store.delete(Route, key("a"))
    stage.turn()
    assert stage.haproxy.serves == {7100} or "disable frontend fe_tcp:7006" in stage.haproxy.commands
    stage.close()


def test_what_is_to_be_claimed_waits_for_no_reload(tmp_path: Path) -> None:
    """A Route that asks for any port has its claim written while another waits for its reload; nobody is told of either yet."""
    stage = Stage(tmp_path, NEVER_AGAIN, auto_ports=PortRanges.of(7009))
    start(stage, route("a", 7001))
    stage.store.put(route("b", 7002))
    stage.turn()
    assert set(stage.verdicts()) == {"a"}
    stage.store.put(route("c", "auto"))
    stage.turn()
    assert stage.proposed == [{Place(7009): asker("c")}]
    assert set(stage.verdicts()) == {"a"}
    stage.store.delete(Route, key("c"))
    stage.turn()
    assert stage.proposed[1:] == [{}]
    stage.close()
