"""The time of certificates is told by notes: when it is over, when it will be, and no longer than that is so."""

from __future__ import annotations

from router.admission import Admission
from router.model import Model
from router.objects.asker_note import AskerNote
from router.objects.route import RouteTLS
from router.objects.store import Store
from router.observe.certificate_times import CertificateTimes
from tests.support.certificates import Made, make
from tests.unit.admission.builders import DB, SETTINGS, asker, route

_DAY_S = 86_400


class Bench:
    """A store, what is decided of it, and what looks at the time."""

    def __init__(self, made: Made) -> None:
        self.store = Store()
        self.now_s = made.certificate.not_valid_before_utc.timestamp()
        self.admission = Admission(SETTINGS)
        self.served: Model | None = None
        self.times = CertificateTimes(self.store, lambda: self.served, now_s=lambda: self.now_s)
        self.show(made)

    def show(self, made: Made) -> None:
        """Have a Route with this certificate served."""
        self.store.put(route(tls=RouteTLS("edge", certificate=made.pem, key=made.key)), *DB)
        self.decide()

    def decide(self) -> tuple[str, ...]:
        """Decide, and give the Route's warnings."""
        outcome = self.admission.update(self.store.objects, self.store.take()[0])
        self.served = outcome.model
        return outcome.verdicts[asker("db")].warnings

    def at(self, days: float) -> tuple[str, ...]:
        """Give the warnings so many days later."""
        self.now_s += days * _DAY_S
        self.times.look()
        return self.decide()


def test_life_of_a_certificate() -> None:
    """Nothing is told until its last part, then its end, then that it is over; a renewed one says nothing any more."""
    made = make("db.example.com", since_days=1, days=89)
    bench = Bench(made)
    assert bench.at(1) == ()
    assert bench.at(70) == ()
    (warning,) = bench.at(6)
    assert warning.startswith("CertificateExpires: ")
    (warning,) = bench.at(14)
    assert warning.startswith("CertificateExpired: ")
    bench.show(make("db.example.com", since_days=1, days=400))
    assert bench.at(0) == ()
    assert bench.store.objects.asker_notes == {}


def test_one_for_a_day_is_told_in_its_last_hours() -> None:
    """Else who renews it each day would be warned always."""
    bench = Bench(make("db.example.com", since_days=0, days=1))
    assert bench.at(0.8) == ()
    (warning,) = bench.at(0.1)
    assert warning.startswith("CertificateExpires: ")


def test_it_is_told_once() -> None:
    """What serves the same is looked at once a minute, and a note that says the same is the same."""
    bench = Bench(make("db.example.com", since_days=9, days=-1))
    bench.now_s += 10 * _DAY_S
    bench.times.look()
    bench.store.take()
    (note,) = bench.store.objects.asker_notes.values()
    assert note == AskerNote.about(asker("db"), note.warning, "certificate")
    bench.times.look()
    bench.now_s += 61
    bench.times.look()
    assert not bench.store.take()[0]
    bench.served = None
    bench.now_s += 61
    bench.times.look()
    assert not bench.store.take()[0]
