"""Where hostnames of listeners and routes meet: the same hosts are in the one name that is given and in both."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.admission.gateway.hosts import ANY, intersections, meet

LABELS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map(".".join)
NAMES = st.one_of(LABELS, LABELS.map(lambda name: f"*.{name}"), st.just(ANY))


def has(name: str, host: str) -> bool:
    """Say whether a host goes by a name: a wildcard stands for one label or more."""
    if name == ANY:
        return True
    labels, wanted = host.split("."), name.split(".")
    if wanted[0] != "*":
        return labels == wanted
    return len(labels) >= len(wanted) and labels[len(labels) - len(wanted) + 1 :] == wanted[1:]


@given(NAMES, NAMES, LABELS)
@settings(max_examples=2000)
def test_what_two_names_have_in_common(one: str, other: str, host: str) -> None:
    """A host goes by both names exactly if it goes by the one that they have in common."""
    common = meet(one, other)
    assert (has(one, host) and has(other, host)) is (common is not None and has(common, host))
    assert common == meet(other, one)


@pytest.mark.parametrize(
    ("listener", "route", "wanted"),
    [
        ("abc.example.com", ["*.example.com"], {"abc.example.com"}),
        ("*.example.com", ["abc.example.com", "*.com"], {"abc.example.com", "*.example.com"}),
        ("*.com", ["*.example.com"], {"*.example.com"}),
        (None, ["*.com"], {"*.com"}),
        ("*.Example.com", None, {"*.example.com"}),
        ("*.example.com", ["example.com"], set()),
        ("www.example.com", ["abc.example.com"], set()),
    ],
)
def test_hostnames_of_the_conformance_suite(listener: str | None, route: list[str] | None, wanted: set[str]) -> None:
    """TLSRouteHostnameIntersection, and what meets nowhere."""
    assert intersections(listener, route) == wanted
