"""Who has HAProxy loaded anew, and how often."""

from __future__ import annotations

from router.admission import Verdict
from router.objects.meta import ObjectKey
from router.plan import ReloadCause, ReloadReason
from router.reconcile.reload_shares import ReloadShares

KEY = ObjectKey("team", "db")
OTHER = ObjectKey("other", "db")
CHANGED = ReloadReason(ReloadCause.OPTIONS_CHANGED, str(KEY))


def test_a_namespace_that_has_it_loaded_again_and_again_waits() -> None:
    """Three at once, and one more every 10 s; nobody else waits, and after a while all is as it was."""
    shares = ReloadShares(3, 10)
    loads = 0
    for tenths in range(1000):
        if "team" not in shares.used_up(tenths / 10):
            loads += 1
            shares.reloaded([CHANGED], {}, tenths / 10)
        assert shares.used_up(tenths / 10) <= {"team"}
    assert loads == 3 + 9
    assert shares.used_up(110) == set()


def test_who_changed_a_shared_port_is_charged_for_it() -> None:
    """The reason names the port: of those who are on it, they who changed something since the last load."""
    shares = ReloadShares(1, 10)
    verdicts = {KEY: Verdict(route=KEY, port=7000), OTHER: Verdict(route=OTHER, port=7000)}
    shares.touched([KEY])
    shares.reloaded([ReloadReason(ReloadCause.PORT_CHANGED, "7000")], verdicts, 0)
    assert shares.used_up(1) == {"team"}
    shares.reloaded([ReloadReason(ReloadCause.PORT_CHANGED, "7000")], verdicts, 1)
    assert shares.used_up(11) == set()


def test_what_is_nobodys_doing_is_charged_to_nobody() -> None:
    """Starts, templates, and what HAProxy refused; and with 0 seconds nobody is charged for anything."""
    shares = ReloadShares(1, 10)
    shares.touched([KEY])
    shares.reloaded([ReloadReason(ReloadCause.START), ReloadReason(ReloadCause.TEMPLATES_CHANGED)], {}, 0)
    assert shares.used_up(0) == set()
    free = ReloadShares(1, 0)
    free.reloaded([CHANGED], {}, 0)
    assert free.used_up(0) == set()
