"""Who has HAProxy loaded anew, and how often."""

from __future__ import annotations

from collections.abc import Iterable

from router.objects.kinds import Slot
from router.objects.meta import ObjectKey
from router.objects.route import Route
from router.plan import ReloadCause, ReloadReason
from router.reconcile.reload_shares import ReloadShares

KEY = (Route, ObjectKey("team", "db"))
OTHER = (Route, ObjectKey("other", "db"))
CHANGED = ReloadReason(ReloadCause.OPTIONS_CHANGED, "team/db")


def nowhere(_slot: Slot) -> Iterable[int]:
    """Say that nobody has a port."""
    return ()


def test_a_namespace_that_has_it_loaded_again_and_again_waits() -> None:
    """Three at once, and one more every 10 s; nobody else waits, and after a while all is as it was."""
    shares = ReloadShares(3, 10)
    loads = 0
    for tenths in range(1000):
        if "team" not in shares.used_up(tenths / 10):
            loads += 1
            shares.reloaded([CHANGED], nowhere, tenths / 10)
        assert shares.used_up(tenths / 10) <= {"team"}
    assert loads == 3 + 9
    assert shares.used_up(110) == set()


def test_who_changed_a_shared_port_is_charged_for_it() -> None:
    """The reason names the port: of those who are on it, they who changed something since the last load."""
    shares = ReloadShares(1, 10)
    ports: dict[Slot, tuple[int, ...]] = {KEY: (7000,), OTHER: (7000,)}
    shares.touched([KEY])
    shares.reloaded([ReloadReason(ReloadCause.PORT_CHANGED, "7000")], ports.__getitem__, 0)
    assert shares.used_up(1) == {"team"}
    shares.reloaded([ReloadReason(ReloadCause.PORT_CHANGED, "7000")], ports.__getitem__, 1)
    assert shares.used_up(11) == set()


def test_what_is_nobodys_doing_is_charged_to_nobody() -> None:
    """Starts, templates, and what HAProxy refused; and with 0 seconds nobody is charged for anything."""
    shares = ReloadShares(1, 10)
    shares.touched([KEY])
    shares.reloaded([ReloadReason(ReloadCause.START), ReloadReason(ReloadCause.TEMPLATES_CHANGED)], nowhere, 0)
    assert shares.used_up(0) == set()
    free = ReloadShares(1, 0)
    free.reloaded([CHANGED], nowhere, 0)
    assert free.used_up(0) == set()


def test_addresses_that_move_are_charged_to_nobody() -> None:
    """Whoever has a port of an address cannot help that it leaves, and comes back."""
    shares = ReloadShares(1, 10)
    shares.touched([KEY])
    moved = [
        ReloadReason(ReloadCause.ADDRESS_CHANGED, "team/db"),
        ReloadReason(ReloadCause.ADDRESS_CHANGED, "443 on address pg"),
    ]
    for second in range(5):
        shares.reloaded(moved, lambda _: (443,), second)
    assert shares.used_up(5) == set()
