"""What the router found out about ports is told to those who are served there, and to nobody else."""

from __future__ import annotations

from router.admission import Admission, Verdict
from router.objects.portnote import PortNote
from router.objects.store import Store
from tests.unit.admission.builders import SETTINGS, route, service


def test_who_is_served_on_a_port_is_told_what_there_is_to_say() -> None:
    """A warning, and the port of clients where it is another; who lost the port is told of that alone, and others of nothing."""
    store = Store()
    admission = Admission(SETTINGS)
    store.put(
        route("a", 7000, created="2020-01-01T00:00:00Z"),
        route("b", 7000, created="2021-01-01T00:00:00Z"),
        route("c", 7001),
        route("sni", None, host="x.example.com", termination="passthrough"),
        service("a"),
    )

    def verdicts() -> dict[str, Verdict]:
        outcome = admission.update(store.objects, store.take()[0])
        return {asker.name: verdict for asker, verdict in outcome.verdicts.items()}

    before = verdicts()
    store.put(PortNote.about(7000, "NodePort: by 30001", 30001), PortNote.about(8443, "NotPublished: no"))
    after = verdicts()
    assert after["a"].warnings == (*before["a"].warnings, "NodePort: by 30001")
    assert after["a"].reached_at("2001:db8::1") == "[2001:db8::1]:30001"
    assert (after["b"], after["c"]) == (before["b"], before["c"])
    assert after["sni"].warnings == (*before["sni"].warnings, "NotPublished: no")
    assert after["sni"].client_port is None
    store.delete(PortNote, PortNote.about(7000).key, PortNote.about(8443).key)
    assert verdicts() == before
