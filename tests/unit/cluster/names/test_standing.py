"""How it stands with names: when they are asked for, what stays, and what is told."""

from __future__ import annotations

import pytest

from router.cluster.names.lookup import Failed, Outcome
from router.cluster.names.messages import FAMILIES, Absent, Addresses, Family
from router.cluster.names.resolver import Answer
from router.cluster.names.standing import GONE_AT, WARNS_AT, Known, Standings

NAME = "db.example.com"
ONE = Addresses(("192.0.2.1",), 60)
NONE = Absent(60, exists=True)
NO_NAME = Absent(60, exists=False)
SILENCE = Failed("no answer in time")


class Desk:
    """Names at a time that the test tells."""

    def __init__(self, *names: str) -> None:
        self.now_s = 1000.0
        self.standings = Standings()
        self.standings.follow(dict.fromkeys(names or (NAME,), "team"), self.now_s)

    def answer(self, a: Outcome, aaaa: Outcome = NONE, name: str = NAME) -> float:
        """Have a name looked up when it is due, and answered so; give the seconds until it is due again."""
        self.now_s = max(self.now_s, self.standings.next_s)
        assert name in self.standings.due(self.now_s)
        outcomes: dict[Family, Outcome] = {"A": a, "AAAA": aaaa}
        for family in FAMILIES:
            self.standings.take(Answer(name, family, outcomes[family]), self.now_s)
        return self.standings.next_s - self.now_s

    @property
    def known(self) -> Known:
        """What is known of the name."""
        return self.standings.known(NAME)


@pytest.mark.parametrize(
    ("ttl_s", "pause_s"), [(0, 5), (4, 5), (5, 5), (60, 60), (300, 300), (301, 300), (2**31 - 1, 300)]
)
def test_ttls_are_obeyed_within_bounds(ttl_s: int, pause_s: float) -> None:
    """A name is looked up again when its answer has expired, but after five seconds at the least and five minutes at most."""
    assert Desk().answer(Addresses(("192.0.2.1",), ttl_s), Absent(1000, exists=True)) == pause_s
    assert Desk().answer(Absent(ttl_s, exists=False), Absent(1000, exists=False)) == pause_s


def test_the_family_that_expires_first_counts() -> None:
    """Both are looked up together."""
    assert Desk().answer(ONE, Addresses(("2001:db8::1",), 30)) == 30


def test_addresses_of_both_families() -> None:
    """Sorted; nothing is told."""
    desk = Desk()
    desk.answer(ONE, Addresses(("2001:db8::1",), 60))
    assert desk.known == Known(("192.0.2.1", "2001:db8::1"), "", is_tried=True)


def test_the_first_family_is_not_kept_waiting() -> None:
    """What came of one is known while the other is still asked for; what is wrong is said when both are."""
    desk = Desk()
    desk.standings.due(desk.now_s)
    assert not desk.standings.take(Answer(NAME, "AAAA", SILENCE), desk.now_s)
    assert desk.known == Known()
    assert desk.standings.take(Answer(NAME, "A", ONE), desk.now_s)
    assert desk.known == Known(("192.0.2.1",), "", is_tried=True)


def test_the_last_addresses_stay_while_nobody_answers() -> None:
    """After three failures that is told, with the reason; it is over with the first answer."""
    desk = Desk()
    desk.answer(ONE)
    for _ in range(WARNS_AT - 1):
        desk.answer(SILENCE, SILENCE)
        assert desk.known == Known(("192.0.2.1",), "", is_tried=True)
    desk.answer(Failed("SERVFAIL"), SILENCE)
    told = f"{NAME} cannot be resolved any more (no answer in time); its last addresses stay"
    assert desk.known == Known(("192.0.2.1",), told, is_tried=True)
    for _ in range(50):
        desk.answer(SILENCE, SILENCE)
    assert desk.known == Known(("192.0.2.1",), told, is_tried=True)
    desk.answer(Addresses(("192.0.2.9",), 60))
    assert desk.known == Known(("192.0.2.9",), "", is_tried=True)


def test_failures_are_repeated_after_growing_pauses() -> None:
    """From five seconds to a minute; with the first answer they begin anew."""
    desk = Desk()
    assert [desk.answer(SILENCE, SILENCE) for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    desk.answer(ONE)
    assert desk.answer(SILENCE, SILENCE) == 5


def test_a_family_that_nobody_answers_for_is_no_loss() -> None:
    """Servers that drop questions for AAAA are many: nothing is told, and the other family's TTL counts."""
    desk = Desk()
    for _ in range(WARNS_AT + 2):
        assert desk.answer(Addresses(("192.0.2.1",), 5), SILENCE) == 5
    assert desk.known == Known(("192.0.2.1",), "", is_tried=True)
    both = Desk()
    both.answer(ONE, Addresses(("2001:db8::1",), 60))
    for _ in range(WARNS_AT):
        both.answer(ONE, SILENCE)
    assert both.known.addresses == ("192.0.2.1", "2001:db8::1")
    assert "its last addresses stay" in both.known.problem


def test_a_name_that_never_was_there() -> None:
    """It is told at once, for nothing is served."""
    for outcome, told in (
        (SILENCE, f"{NAME} cannot be resolved (no answer in time)"),
        (NO_NAME, f"the name {NAME} does not exist"),
        (NONE, f"{NAME} has no address"),
    ):
        desk = Desk()
        desk.answer(outcome, outcome)
        assert desk.known == Known((), told, is_tried=True)


@pytest.mark.parametrize("gone", [NONE, NO_NAME], ids=["no address", "no name"])
def test_that_it_is_gone_is_believed_the_third_time(gone: Outcome) -> None:
    """A server that is being set up anew says so, too: until then the last addresses stay, and it is asked again soon."""
    desk = Desk()
    desk.answer(ONE)
    for _ in range(GONE_AT - 1):
        assert desk.answer(gone, gone) == 5
        assert desk.known == Known(("192.0.2.1",), "", is_tried=True)
    assert desk.answer(gone, gone) == 60
    assert desk.known.addresses == ()
    assert desk.known.problem
    back = Desk()
    back.answer(ONE)
    for _ in range(5):
        back.answer(gone, gone)
        back.answer(ONE)
    assert back.known == Known(("192.0.2.1",), "", is_tried=True)


def test_names_come_and_go() -> None:
    """One that nobody leads to is looked up no more; one that comes back is another. An answer that comes too late is nobody's."""
    desk = Desk(NAME, "other.example.com")
    desk.answer(ONE)
    desk.standings.follow({"other.example.com": "team"}, desk.now_s)
    assert not desk.standings.take(Answer(NAME, "A", ONE), desk.now_s)
    assert desk.standings.known(NAME) == Known()
    assert len(desk.standings) == 1
    assert desk.standings.due(desk.now_s + 1000) == []
    assert desk.standings.follow({NAME: "team"}, desk.now_s) == (NAME,)
    assert desk.standings.due(desk.now_s) == [NAME]
    assert desk.standings.due(desk.now_s) == []


def test_what_was_known_before_is_served_until_there_is_an_answer() -> None:
    """A router that begins again while nobody answers goes on with it."""
    desk = Desk()
    desk.standings.remember(NAME, ["2001:db8::1", "192.0.2.7"])
    assert desk.known == Known(("192.0.2.7", "2001:db8::1"), "", is_tried=False)
    desk.answer(SILENCE, SILENCE)
    assert desk.known.addresses == ("192.0.2.7", "2001:db8::1")
    desk.answer(ONE, NONE)
    assert desk.known.addresses == ("192.0.2.1", "2001:db8::1")


def test_new_names_of_a_namespace_have_a_pace() -> None:
    """Whoever says another name each instant is looked up twice a second, after the first 64; another namespace does not wait."""
    standings = Standings()
    for number in range(100):
        standings.follow({f"n{number}.example.com": "hostile"}, 1000.0)
    assert standings.due(1000.0) == []
    assert standings.next_s > 1000
    standings.follow({"n99.example.com": "hostile", NAME: "team"}, 1000.0)
    assert standings.due(1000.0) == [NAME]
    assert standings.due(1018.0) == ["n99.example.com"]
    standings.follow({"later.example.com": "hostile"}, 2000.0)
    assert standings.due(2000.0) == ["later.example.com"]


def test_states_are_counted() -> None:
    """For metrics."""
    desk = Desk(NAME, "gone.example.com", "new.example.com")
    due = desk.standings.due(desk.now_s)
    assert set(due) == {NAME, "gone.example.com", "new.example.com"}
    for family in FAMILIES:
        desk.standings.take(Answer(NAME, family, ONE), desk.now_s)
        desk.standings.take(Answer("gone.example.com", family, NO_NAME), desk.now_s)
    assert desk.standings.counts() == {"resolved": 1, "failing": 1, "pending": 1}
