"""A list that is read while it is not known what of it is wanted: what comes of it, in which order, and who waits."""

from __future__ import annotations

import threading

import msgspec
import pytest

from router.cluster.decoding import Head
from router.cluster.held_back import HeldBack
from router.objects.meta import ObjectKey
from router.supervisor import Supervisor
from tests.support.waiting import wait_for

_LEFT = ObjectKey("team", "left")


class Sink:
    """Notes what it gets."""

    def __init__(self) -> None:
        self.got: list[str] = []

    def begin_list(self) -> None:
        """Note."""
        self.got.append("begin")

    def add_page(self, items: tuple[msgspec.Raw, ...]) -> None:
        """Note."""
        self.got.append(b" ".join(bytes(item) for item in items).decode())

    def leave_out(self, key: ObjectKey) -> None:
        """Note."""
        self.got.append(f"without {key}")

    def end_list(self, resource_version: str) -> None:
        """Note."""
        self.got.append(f"end {resource_version}")

    def apply(self, head: Head, raw: msgspec.Raw | None) -> None:
        """Note."""
        self.got.append(f"event {head.key} {raw is not None}")


def _page(*texts: str) -> tuple[msgspec.Raw, ...]:
    return tuple(msgspec.Raw(text.encode()) for text in texts)


@pytest.fixture
def sink() -> Sink:
    """A sink behind."""
    return Sink()


def test_what_is_known_passes(sink: Sink) -> None:
    """As after the start: each page goes on as it comes."""
    known = threading.Event()
    known.set()
    held = HeldBack(sink, known)
    held.begin_list()
    held.add_page(_page("1", "2"))
    assert sink.got == ["begin", "1 2"]
    held.leave_out(_LEFT)
    held.end_list("7")
    held.apply(msgspec.json.decode(b'{"metadata": {"name": "a", "namespace": "team"}}', type=Head), None)
    assert sink.got[2:] == ["without team/left", "end 7", "event team/a False"]


def test_pages_are_kept_and_passed_on_in_their_order(sink: Sink) -> None:
    """None before it is known, all of them then; a list that is begun again has none of the former one."""
    known = threading.Event()
    held = HeldBack(sink, known)
    held.begin_list()
    held.add_page(_page("lost"))
    held.begin_list()
    held.add_page(_page("1"))
    held.leave_out(_LEFT)
    held.add_page(_page("2"))
    assert sink.got == ["begin", "begin"]
    known.set()
    held.add_page(_page("3"))
    assert sink.got[2:] == ["1", "without team/left", "2", "3"]
    held.end_list("7")
    assert sink.got[6:] == ["end 7"]


@pytest.mark.parametrize("is_too_much", [False, True], ids=["at the end", "with more than is kept"])
def test_who_lists_waits(sink: Sink, *, is_too_much: bool) -> None:
    """Nothing is taken for all that there is before it is known what of it is wanted; and what is kept has a bound."""
    known = threading.Event()
    held = HeldBack(sink, known, most_bytes=3 if is_too_much else 100)
    done = threading.Event()

    def read() -> None:
        held.begin_list()
        held.add_page(_page("1234"))
        if not is_too_much:
            held.end_list("7")
        done.set()

    thread = Supervisor().own("lists", read, ask_to_end=known.set, restart=None)
    thread.start()
    wait_for(lambda: sink.got == ["begin"], "the list to begin")
    assert not done.wait(0.05)
    assert sink.got == ["begin"]
    known.set()
    assert done.wait(20)
    assert sink.got == ["begin", "1234"] + ([] if is_too_much else ["end 7"])
    thread.stop(20)


def test_nobody_waits_for_ever(sink: Sink) -> None:
    """Where Services cannot be listed for long, what Routes lead to is served all the same."""
    held = HeldBack(sink, threading.Event(), longest_s=0)
    held.begin_list()
    held.add_page(_page("1"))
    held.end_list("7")
    assert sink.got == ["begin", "1", "end 7"]


def test_what_waits_is_told_ahead_and_what_passes_is_not(sink: Sink) -> None:
    """Nor what is too much to be kept: it is taken as it comes."""
    known, ahead = threading.Event(), list[tuple[msgspec.Raw, ...]]()
    held = HeldBack(sink, known, most_bytes=4, longest_s=0.0, ahead=ahead.append)
    held.begin_list()
    pages = [_page("1", "2"), _page("3"), _page("too much"), _page("4")]
    for page in pages[:3]:
        held.add_page(page)
    known.set()
    held.add_page(pages[3])
    assert ahead == pages[:2]
