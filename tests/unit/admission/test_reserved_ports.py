"""The ports that OpenShift's nodes use themselves."""

from __future__ import annotations

from itertools import pairwise

import pytest

from router.admission.reserved_ports import HOST_LISTENERS, HOST_NETWORK_PORTS, ON_PREMISES_PORTS
from router.settings import PortRanges


def test_the_table_is_sorted_and_without_overlaps() -> None:
    """A reader finds a port in one place."""
    for before, after in pairwise(HOST_LISTENERS):
        assert before.first <= before.last < after.first


@pytest.mark.parametrize(
    "port", [22, 80, 443, 1936, 2379, 2380, 6443, 9100, 9999, 10250, 10256, 22623, 22624, 30000, 32767]
)
def test_ports_of_nodes_are_reserved(port: int) -> None:
    """The best known ones."""
    assert port in HOST_NETWORK_PORTS


def test_ports_of_platforms_of_ones_own_are_reserved_there_alone() -> None:
    """18080 is CoreDNS's there; elsewhere nothing of OpenShift's has it, and a Route may."""
    assert 18080 in ON_PREMISES_PORTS
    assert 18080 not in HOST_NETWORK_PORTS


@pytest.mark.parametrize("port", [1024, 5432, 6620, 8443, 13306, 18080, 29999, 32768, 65535])
def test_other_ports_are_free(port: int) -> None:
    """Among them the SNI port, which is reserved as the router's own."""
    assert port not in HOST_NETWORK_PORTS


def test_the_set_can_be_written_as_an_option() -> None:
    """What --help shows as the default can be given back."""
    assert PortRanges.parse(str(HOST_NETWORK_PORTS)) == HOST_NETWORK_PORTS
