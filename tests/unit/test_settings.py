"""Port ranges: what they accept, hold, and say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import SettingsError
from router.settings import MAX_PORT, PortRanges, RenderSettings

_PORTS = st.integers(1, MAX_PORT)
_RANGES = st.lists(st.tuples(_PORTS, _PORTS).map(lambda pair: (min(pair), max(pair))), max_size=6)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param(" , ", (), id="nothing between commas"),
        pytest.param("80", ((80, 80),), id="one port"),
        pytest.param("1024-65535", ((1024, 65535),), id="a range"),
        pytest.param("30000-32767, 443,80", ((80, 80), (443, 443), (30000, 32767)), id="sorted, with spaces"),
        pytest.param("1-1", ((1, 1),), id="a range of one"),
        pytest.param("00080", ((80, 80),), id="leading zeros"),
    ],
)
def test_parse_accepts(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    """Ports and ranges are read in any order and come out sorted."""
    assert PortRanges.parse(text).ranges == ranges


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("0", "0", id="zero"),
        pytest.param("65536", "65536", id="too large"),
        pytest.param("80,99999", "99999", id="second part too large"),
        pytest.param("90-80", "90-80", id="backwards"),
        pytest.param("0-80", "0-80", id="from zero"),
        pytest.param("80-", "80-", id="open end"),
        pytest.param("-80", "-80", id="open start"),
        pytest.param("8O", "8O", id="a letter"),
        pytest.param("\u0668\u0660", "\u0668\u0660", id="digits of another script"),
        pytest.param("80 90", "80 90", id="no comma"),
        pytest.param("123456", "123456", id="six digits"),
    ],
)
def test_parse_refuses_and_names_the_part(text: str, part: str) -> None:
    """What is no port and no range is refused, and the message names it."""
    with pytest.raises(SettingsError) as refused:
        PortRanges.parse(text)
    assert repr(part) in str(refused.value)


@given(_RANGES)
def test_text_and_back(ranges: list[tuple[int, int]]) -> None:
    """What ranges say of themselves parses to the same ranges."""
    some = PortRanges(tuple(sorted(ranges)))
    assert PortRanges.parse(str(some)) == some


@given(_RANGES, _RANGES, _PORTS)
def test_membership(some: list[tuple[int, int]], others: list[tuple[int, int]], port: int) -> None:
    """A port is in the union exactly when one of the ranges has it, ends included."""
    expected = any(low <= port <= high for low, high in (*some, *others))
    assert (port in (PortRanges(tuple(some)) | PortRanges(tuple(others)))) is expected


def test_of_single_ports() -> None:
    """Single ports make a set without doubles."""
    ports = PortRanges.of(443, 80, 443)
    assert (str(ports), 80 in ports, 81 in ports) == ("80,443", True, False)


def test_sockets_between_frontends_have_short_paths_of_their_own() -> None:
    """One for each shared port of each address, however long its name is."""
    settings = RenderSettings()
    spots = [(8443, ""), (8444, ""), (8443, "a" * 63), (8443, "b" * 63), (65535, "b" * 63)]
    paths = [settings.stage_socket(spot) for spot in spots]
    assert len(set(paths)) == len(spots)
    assert max(len(path.name) for path in paths) <= len("haproxy.sock") + 6
