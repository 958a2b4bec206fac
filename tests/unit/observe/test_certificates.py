"""Certificates as they are told: until when they are valid, and which of them their time is over."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, generate_latest

from router.model import Asker, Model
from router.objects.route import RouteTLS
from router.observe.certificates import out_of_time
from router.observe.clients import refusing
from router.observe.metrics.certificates import show_certificates
from router.observe.ports import port_rows
from tests.support.certificates import make, shown_by
from tests.support.counting import instructions
from tests.support.models import section, server, shared
from tests.unit.admission.builders import DB, admit, route

_DAY_S = 86_400


def _model() -> Model:
    edge = section("edge", 6620, server(5432), tls=shown_by(make("a", days=3)))
    late = section("late", 6621, server(5432), tls=shown_by(make("b", days=-1, since_days=9)))
    early = section("early", 6622, server(5432), tls=shown_by(make("c", since_days=-1)))
    plain = section("plain", 6623, server(5432))
    return Model((early, edge, late, plain), (shared(8443, {}),))


def test_until_when_they_are_valid() -> None:
    """A series for each Route whose TLS ends here, without any part of a key."""
    registry = CollectorRegistry()
    show_certificates(registry, _model)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert len(lines) == 3
    (edge,) = [line for line in lines if 'route="edge"' in line]
    assert edge.startswith(
        'tcp_router_certificate_expiry_timestamp_seconds{kind="Route",namespace="team",route="edge"} '
    )
    assert 2.9 * _DAY_S < float(edge.split()[-1]) - time.time() < 3.1 * _DAY_S
    show_certificates(CollectorRegistry(), lambda: None)


def test_those_whose_time_is_over_or_not_come() -> None:
    """Each has a sentence; in four days another one has, too."""
    found = out_of_time(_model(), time.time())
    assert found[Asker.route("team", "late")].startswith("CertificateExpired: its certificate expired at ")
    assert "is not valid before " in found[Asker.route("team", "early")]
    # It is valid for four days, and three are left: it would be told half a day before its end.
    assert len(found) == 2
    near = out_of_time(_model(), time.time() + 2.5 * _DAY_S)[Asker.route("team", "edge")]
    assert near.startswith("CertificateExpires: its certificate expires at ")
    assert "expired at " in out_of_time(_model(), time.time() + 4 * _DAY_S)[Asker.route("team", "edge")]


def test_the_table_of_ports_says_so() -> None:
    """With what is shown, for whoever can read the table; without the time nothing is said of it."""
    made = make("db.example.com", days=-1, since_days=9)
    outcome = admit(route(tls=RouteTLS("edge", certificate=made.pem, key=made.key)), *DB)
    (row,) = port_rows(outcome.verdicts, outcome.model, now_s=time.time())
    (warning,) = row.warnings
    assert warning.startswith("CertificateExpired: its certificate expired at ")
    assert row.certificate is not None
    assert row.certificate.startswith(shown_by(made).certificate.fingerprint[:16])
    (untold,) = port_rows(outcome.verdicts, outcome.model)
    assert untold.warnings == ()


def test_a_route_without_tls_costs_next_to_nothing() -> None:
    """After each change all are looked at: Python's instructions for one of those that neither end TLS nor ask clients for certificates."""
    model = Model(tuple(section(f"plain-{number:03}", 6620 + number, server(5432)) for number in range(200)))
    now_s = time.time()
    assert instructions(lambda: (out_of_time(model, now_s), refusing(model, now_s))) / len(model.routes) < 27
