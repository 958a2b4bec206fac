"""Who is told that no replica has an address."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from router.admission import Outcome, Verdict
from router.admission.places import Place
from router.admission.verdicts import Reason
from router.model import Asker, Model
from router.objects.core import RouterPod
from router.objects.meta import ObjectMeta
from router.reconcile.absence import Absence

ADDRESSES = {"pg": ("10.0.0.1", "2001:db8::1"), "my": ("10.0.0.2",)}
PG, ALL = Asker.route("shop", "pg"), Asker.route("shop", "all")
OUTCOME = Outcome(
    Model(),
    {
        ALL: Verdict(asker=ALL, port=5433),
        PG: Verdict(asker=PG, port=5432, address="pg", places=(Place(5432, "", "pg"),), warnings=("no endpoints",)),
    },
)


def pod(name: str, *reported: str, has_said: bool = True, app: str = "tcp-router", is_there: bool = True) -> RouterPod:
    """Make a pod of a router."""
    addresses = ("10.1.1.1",) if is_there else ()
    return RouterPod(ObjectMeta(name=name), addresses, "node", app, reported if has_said else None)


def test_alone_it_is_what_this_machine_has() -> None:
    """A router on a folder is the only one; what is nowhere for half a minute is told, and what comes back is not."""
    absence = Absence(ADDRESSES)
    assert absence.look({"10.0.0.2"}, (), 100) == frozenset()
    assert absence.look({"10.0.0.2"}, (), 129.9) == frozenset()
    assert absence.look({"10.0.0.2"}, (), 130) == {"pg"}
    assert absence.look({"2001:db8::1"}, (), 131) == frozenset()
    assert absence.look((), (), 161) == {"my"}
    assert absence.look((), (), 191) == {"my", "pg"}
    assert Absence({}).look((), (), 1000) == frozenset()


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        pytest.param((pod("a"), pod("b")), {"pg", "my"}, id="nobody has any"),
        pytest.param((pod("a"), pod("b", "10.0.0.1")), {"my"}, id="another has one"),
        pytest.param((pod("a"), pod("b", has_said=False)), set(), id="one has not said"),
        pytest.param((pod("a"), pod("b", has_said=False, is_there=False)), {"pg", "my"}, id="one that ended"),
        pytest.param((pod("a"), pod("b", "10.0.0.1", app="other")), {"pg", "my"}, id="another router's"),
        pytest.param((pod("a"), pod("b", has_said=False, app="other")), {"pg", "my"}, id="another router says nothing"),
        pytest.param((pod("b"),), set(), id="without its own pod it sees none of them"),
        pytest.param((), set(), id="none can be seen"),
    ],
)
def test_with_others_it_is_what_all_of_them_have(pods: tuple[RouterPod, ...], told: set[str]) -> None:
    """Only what every replica has denied is known to be nowhere."""
    absence = Absence(ADDRESSES, "a")
    absence.look((), pods, 0)
    assert absence.look((), pods, 30) == told


def test_those_who_asked_are_told_and_keep_what_they_have() -> None:
    """The model stays, so that an address that comes is served at once; nobody else is told anything."""
    absence = Absence(ADDRESSES)
    assert absence.tell(OUTCOME, frozenset()) is OUTCOME
    told = absence.tell(OUTCOME, frozenset({"pg"}))
    assert told.model is OUTCOME.model
    assert told.verdicts[ALL] is OUTCOME.verdicts[ALL]
    assert told.verdicts[PG].reason is Reason.ADDRESS_UNAVAILABLE
    assert told.verdicts[PG].held == (Place(5432, "", "pg"),)
    assert "no node of the router has the address pg" in told.verdicts[PG].message
    assert absence.tell(OUTCOME, frozenset({"pg"})) is told
    assert absence.tell(OUTCOME, frozenset({"my"})) == OUTCOME
    rejected = structs.replace(OUTCOME, verdicts={PG: replace(OUTCOME.verdicts[PG], reason=Reason.PORT_UNAVAILABLE)})
    assert absence.tell(rejected, frozenset({"pg"})) == rejected
