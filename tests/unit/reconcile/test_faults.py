"""The loop when things go wrong together: who is left out, what is kept, and that it neither spins nor hangs."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from router.admission.verdicts import Reason
from router.errors import HaproxyError, HaproxyUnreachable
from router.haproxy.talk.alerts import BindFailure
from router.objects.core import Service, ServicePort, ServiceSpec
from router.objects.discovery import Endpoint, EndpointPort, EndpointSlice
from router.objects.meta import ObjectMeta
from router.objects.route import Route, RouteIngress, RouteStatus
from router.reconcile.state_dir import StateDir
from router.reconcile.timing import Timing
from router.render import TemplateSet
from tests.support.stage import Stage, route, start

_MANY = "abcdefghijklmnopqrstuvwxyz"
PATIENT = Timing(
    reload_interval_s=0, gather_s=(0, 0), port_retry_s=1000, refused_retry_s=(1000, 1000), failure_retry_s=(1000, 1000)
)


@pytest.fixture
def patient_stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage on which reloads need not keep apart, but what failed waits."""
    stage = Stage(tmp_path, PATIENT)
    yield stage
    stage.close()


def test_waiting_for_a_restart_does_not_spin(tmp_path: Path) -> None:
    """While a HAProxy that ends again and again waits for its restart, a port that is due does not keep the loop turning."""
    timing = Timing(
        reload_interval_s=0, gather_s=(0, 0), port_retry_s=0, refused_retry_s=(0, 0), failure_retry_s=(1000, 1000)
    )
    stage = Stage(tmp_path, timing)
    stage.haproxy.taken_ports = {7002}
    start(stage, route("a", 7001), route("late", 7002))
    for _ in range(2):
        stage.haproxy.exit_code = 137
        stage.turn()
    assert stage.controller.snapshot.applied is None
    assert stage.controller.pause_s() > 0
    stage.close()


def test_haproxy_that_ended_during_a_reload_is_started_without_the_pause_after_a_failure(patient_stage: Stage) -> None:
    """A load that was not heard the end of because HAProxy died: the pause is for a HAProxy that runs."""
    start(patient_stage, route("a", 7001))
    patient_stage.haproxy.load_error = HaproxyUnreachable("connection reset")
    patient_stage.store.put(route("b", 7002))
    patient_stage.turn()
    patient_stage.haproxy.load_error = None
    patient_stage.haproxy.exit_code = 137
    patient_stage.turn()
    assert patient_stage.haproxy.serves == {7001, 7002}


def test_haproxy_that_ends_during_each_start_waits(patient_stage: Stage) -> None:
    """The first such end costs no pause, the next one does."""
    patient_stage.haproxy.load_error = HaproxyUnreachable("connection reset")
    start(patient_stage, route("a", 7001))
    patient_stage.haproxy.exit_code = 137
    patient_stage.turn()
    patient_stage.haproxy.load_error = None
    patient_stage.haproxy.exit_code = 137
    patient_stage.turn()
    assert patient_stage.haproxy.loads == []


@pytest.mark.parametrize(
    "complaint",
    [
        pytest.param("backend 'be_tcp:team:nobody' is not good", id="backend"),
        pytest.param("frontend 'fe_tcp:7999' is not good", id="port"),
        pytest.param("it is Monday", id="nothing"),
    ],
)
def test_complaint_about_what_is_not_in_the_model_is_a_failure(patient_stage: Stage, complaint: str) -> None:
    """Nobody is set aside for it, for that would not help, and the loop does not go on trying in the same turn."""
    patient_stage.haproxy.refused_together = (frozenset({"global"}),)
    patient_stage.haproxy.complaint = complaint
    start(patient_stage, route("a", 7001))
    assert complaint in patient_stage.controller.snapshot.problem
    assert patient_stage.haproxy.loads == []


def test_port_that_only_a_template_binds_is_a_failure(patient_stage: Stage) -> None:
    """A bind failure of a frontend that no Route asks for cannot be left out; the load is not repeated at once."""
    patient_stage.haproxy.bind_failures = (BindFailure("fe_tcp:7999", "0.0.0.0:7999", "in use"),)
    start(patient_stage, route("a", 7001))
    assert "did not load" in patient_stage.controller.snapshot.problem
    assert len(patient_stage.haproxy.loads) == 1


@pytest.mark.parametrize(
    ("refused_together", "left"),
    [
        pytest.param([{"team:c"}], {"a", "b", "d"}, id="one"),
        pytest.param([{"team:a"}, {"team:d"}], {"b", "c"}, id="first and last"),
        pytest.param([{"team:a", "team:c"}], {"a", "b", "d"}, id="two that do not go together"),
        pytest.param([{"team:a", "team:b"}, {"team:a", "team:d"}], {"a", "c"}, id="two with one"),
        pytest.param([{"team:"}], set(), id="all"),
    ],
)
def test_without_lines_the_fewest_are_left_out(
    patient_stage: Stage, refused_together: list[set[str]], left: set[str]
) -> None:
    """Where HAProxy does not say whose fault it is, leaving out one after the other finds out; the rest is served."""
    patient_stage.haproxy.refused_together = tuple(frozenset(words) for words in refused_together)
    start(patient_stage, *(route(name, 7001 + number) for number, name in enumerate("abcd")))
    assert {name for name, reason in patient_stage.verdicts().items() if reason is None} == left
    assert set(patient_stage.verdicts().values()) <= {None, Reason.CONFIG_REJECTED}
    assert patient_stage.controller.snapshot.problem == ""


def test_one_of_many_without_a_line_is_found_in_few_checks(patient_stage: Stage) -> None:
    """The search halves: of 256 Routes one is found in about log2(256) checks, and none is asked alone."""
    patient_stage.haproxy.refused_together = (frozenset({"be_tcp:team:r77\n"}),)
    start(patient_stage, *(route(f"r{number}", 7000 + number) for number in range(256)))
    assert [name for name, reason in patient_stage.verdicts().items() if reason is not None] == ["r77"]
    assert len(patient_stage.haproxy.checked) <= 14


def test_what_haproxy_was_loaded_with_is_not_judged_again(patient_stage: Stage) -> None:
    """One new Route among others is judged beside the global part alone; the load has them all."""
    start(patient_stage, *(route(name, 7001 + number) for number, name in enumerate(_MANY)))
    patient_stage.store.put(route("new", 7100))
    patient_stage.turn()
    *_, last = patient_stage.haproxy.checked
    assert re.findall("^backend (be_tcp:.*) from routes$", last, re.MULTILINE) == ["be_tcp:team:new"]
    assert re.findall("^global", last, re.MULTILINE) == ["global"]
    assert len(patient_stage.haproxy.ports(patient_stage.haproxy.loads[-1])) == len(_MANY) + 1
    assert set(patient_stage.verdicts().values()) == {None}


def test_what_is_new_and_does_not_go_with_the_rest_is_found_by_the_load(patient_stage: Stage) -> None:
    """It was fine by itself. HAProxy refuses to load it, goes on with what it has, and only the new Route is left out."""
    start(patient_stage, *(route(name, 7001 + number) for number, name in enumerate(_MANY)))
    patient_stage.haproxy.refused_together = (frozenset({"team:a", "team:new"}),)
    patient_stage.store.put(route("new", 7100), route("other", 7101))
    patient_stage.turn()
    assert patient_stage.verdicts() == {**dict.fromkeys((*_MANY, "other")), "new": Reason.CONFIG_REJECTED}
    assert patient_stage.haproxy.ports(patient_stage.haproxy.config.read_text()) & {7100, 7101} == {7101}
    assert patient_stage.controller.snapshot.problem == ""


def test_a_load_that_fails_for_no_routes_sake_is_not_judged_without_end(patient_stage: Stage) -> None:
    """The whole is judged once, found good, and the failure told; what runs is left as it is."""
    start(patient_stage, *(route(name, 7001 + number) for number, name in enumerate(_MANY)))
    before = patient_stage.haproxy.config.read_text()
    patient_stage.haproxy.bind_failures = (BindFailure("fe_tcp:7999", "0.0.0.0:7999", "in use"),)
    judged = len(patient_stage.haproxy.checked)
    patient_stage.store.put(route("new", 7100))
    patient_stage.turn()
    assert len(patient_stage.haproxy.checked) == judged + 2
    assert "did not load" in patient_stage.controller.snapshot.problem
    assert patient_stage.haproxy.config.read_text() == before


def test_writes_that_ask_for_nothing_else_do_not_have_haproxy_asked_again(stage: Stage) -> None:
    """Status, labels and other people's annotations of a refused Route can be written by anybody, as often as they like."""
    start(stage, route("a", 7001))
    stage.haproxy.refused = {"team:bad"}
    bad = route("bad", 7002)
    stage.store.put(bad)
    stage.turn()
    asked = len(stage.haproxy.checked)
    annotations = {**(bad.metadata.annotations or {}), "example.com/touched": "again"}
    touched = msgspec.structs.replace(bad.metadata, annotations=annotations, labels={"a": "b"}, generation=7)
    stage.store.put(
        msgspec.structs.replace(
            bad, metadata=touched, status=RouteStatus(ingress=(RouteIngress(router_name="x", host="y"),))
        )
    )
    stage.turn()
    assert len(stage.haproxy.checked) == asked
    assert stage.verdicts() == {"a": None, "bad": Reason.CONFIG_REJECTED}


def test_edits_of_refused_routes_cost_others_a_bounded_number_of_checks(stage: Stage) -> None:
    """After ten refusals a namespace waits: neither edits nor Routes of new names have HAProxy asked, and others are served."""
    start(stage, route("a", 7001))
    stage.haproxy.refused = {"team:bad"}
    for number in range(100):
        stage.store.put(route(f"bad{number % 2}", 7100 + number))
        stage.turn()
    stage.store.put(replace_namespace(route("other", 7099), "quiet"))
    stage.turn()
    assert len([result for result, _ in stage.witness.results if result == "refused"]) == 10
    assert 7099 in stage.haproxy.serves


def replace_namespace(made: Route, namespace: str) -> Route:
    """Give the Route as it would be in another namespace."""
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, namespace=namespace))


def test_port_that_looks_free_and_is_not_is_left_alone_longer_and_longer(tmp_path: Path) -> None:
    """A load that fails costs every Route two seconds, so one port may not cause it every time that it is looked at."""
    timing = Timing(
        reload_interval_s=0, gather_s=(0, 0), port_retry_s=0, refused_retry_s=(1000, 1000), failure_retry_s=(0, 0)
    )
    stage = Stage(tmp_path, timing)
    stage.haproxy.taken_ports = stage.haproxy.unnoticed_ports = {7002}
    start(stage, route("good", 7001), route("odd", 7002))
    for _ in range(5):
        stage.turn()
    with_it = [text for text in stage.haproxy.loads if 7002 in stage.haproxy.ports(text)]
    assert len(with_it) == 2
    assert stage.verdicts() == {"good": None, "odd": Reason.PORT_UNAVAILABLE}
    stage.close()


def test_lack_of_descriptors_for_a_look_is_survived(stage: Stage) -> None:
    """Ports that cannot be looked at for want of file descriptors stay set aside; the loop goes on."""
    stage.haproxy.taken_ports = {7002}
    start(stage, route("good", 7001), route("late", 7002))
    stage.haproxy.look_error = HaproxyError("Too many open files")
    stage.turn()
    stage.haproxy.look_error = None
    stage.haproxy.taken_ports = set()
    stage.turn()
    assert stage.haproxy.serves == {7001, 7002}


def test_end_of_the_loop_is_not_ready_and_over_before_haproxy_drains(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the loop ends all the same, the main thread and probes know of it while HAProxy drains."""
    start(stage, route("a", 7001))
    seen = []

    def stop() -> None:
        seen.append((stage.controller.snapshot.ready, stage.controller.is_over))

    def exits() -> int:
        raise SystemExit(1)

    monkeypatch.setattr(stage.haproxy, "stop", stop)
    monkeypatch.setattr(stage.haproxy, "ended", exits)
    with pytest.raises(SystemExit):
        stage.controller.run()
    assert seen == [(False, True)]


GOOD_TEMPLATE = "frontend fe_tcp:{{ route.frontend.port }}\n    # new\n"
BAD_FOR_ONE = GOOD_TEMPLATE + '{{ "bogus" if route.route == "bad" else "" }}\n'


def write_template(stage: Stage, text: str) -> None:
    """Change the Routes' template as its watcher would notice it."""
    (stage.template_dir / "route.cfg.j2").write_text(text)
    stage.controller.templates_changed()


def test_templates_survive_a_full_disk(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while templates and a Route change: it is told, and both are taken up when there is room."""
    start(stage, route("a", 7001))

    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stage.store.put(route("b", 7002))
    write_template(stage, GOOD_TEMPLATE)
    with monkeypatch.context() as context:
        context.setattr(StateDir, "write_candidate", full)
        stage.turn()
    assert "No space left" in stage.controller.snapshot.problem
    assert stage.controller.snapshot.template_problem == ""
    stage.turn()
    assert "# new" in stage.haproxy.loads[-1]
    assert stage.haproxy.serves == {7001, 7002}
    assert stage.controller.snapshot.problem == ""


def test_templates_that_rename_what_is_served_are_dropped(stage: Stage) -> None:
    """HAProxy takes them, but its worker lacks the Route's frontend: the former templates are loaded again, once."""
    start(stage, route("a", 7001))
    write_template(stage, "frontend mine\n")
    stage.turn()
    assert "fe_tcp:7001" in stage.controller.snapshot.template_problem
    stage.turn()
    assert len(stage.haproxy.loads) == 3
    assert stage.haproxy.serves == {7001}
    assert stage.controller.snapshot.problem == ""


def test_templates_survive_a_haproxy_that_cannot_be_asked(stage: Stage) -> None:
    """A check that comes to no end while templates change says nothing of them: they are taken up when it works again."""
    start(stage, route("a", 7001))
    stage.haproxy.check_error = HaproxyUnreachable("haproxy -c: no answer")
    write_template(stage, GOOD_TEMPLATE)
    stage.turn()
    assert stage.controller.snapshot.template_problem == ""
    stage.haproxy.check_error = None
    stage.turn()
    assert "# new" in stage.haproxy.loads[-1]


def test_templates_are_not_refused_for_a_route_that_was_not_served(stage: Stage) -> None:
    """A Route that comes with new templates, and is refused with them, is set aside; the templates are taken up."""
    start(stage, route("a", 7001))
    stage.haproxy.refused = {"bogus"}
    stage.store.put(route("bad", 7002))
    write_template(stage, BAD_FOR_ONE)
    stage.turn()
    assert "# new" in stage.haproxy.loads[-1]
    assert stage.verdicts() == {"a": None, "bad": Reason.CONFIG_REJECTED}


def test_template_that_mends_a_set_aside_route(stage: Stage) -> None:
    """New templates that change nothing but the Route that is set aside put it on trial at once."""
    write_template(stage, BAD_FOR_ONE)
    stage.haproxy.refused = {"bogus"}
    start(stage, route("a", 7001), route("bad", 7002))
    assert stage.verdicts()["bad"] is Reason.CONFIG_REJECTED
    write_template(stage, GOOD_TEMPLATE + "\n")
    stage.turn()
    assert stage.verdicts() == {"a": None, "bad": None}


def test_templates_that_give_the_same_are_no_reload(stage: Stage) -> None:
    """A template that is written anew without a difference in what it gives changes nothing."""
    write_template(stage, GOOD_TEMPLATE)
    start(stage, route("a", 7001))
    write_template(stage, "{# a remark #}" + GOOD_TEMPLATE)
    stage.turn()
    assert len(stage.haproxy.loads) == 1
    assert stage.controller.snapshot.template_problem == ""


def test_a_route_of_many_bad_lines_is_explained_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """HAProxy may complain of each of a Route's servers; to say where a line came from renders the Route once more."""
    start(stage, route("a", 7001))
    places = [f"10.1.{number // 250}.{number % 250}" for number in range(1000)]
    stage.store.put(
        Service(
            metadata=ObjectMeta(name="nothing", namespace="team"), spec=ServiceSpec(ports=(ServicePort(5432, "pg"),))
        ),
        EndpointSlice(
            metadata=ObjectMeta(name="s", namespace="team", labels={"kubernetes.io/service-name": "nothing"}),
            endpoints=tuple(Endpoint(addresses=(place,)) for place in places),
            ports=(EndpointPort("pg", 5432, "TCP"),),
        ),
    )
    stage.haproxy.refused = {"no-check", "server pod"}
    explained: list[str] = []
    origins = TemplateSet.origins

    def counted(templates: TemplateSet, name: str, variables: Mapping[str, object]) -> Sequence[str]:
        explained.append(name)
        return origins(templates, name, variables)

    monkeypatch.setattr(TemplateSet, "origins", counted)
    stage.store.put(route("bad", 7002))
    stage.turn()
    assert set(explained) == {"route.cfg.j2"}
    assert len(explained) <= 2 * len(stage.verdicts())
