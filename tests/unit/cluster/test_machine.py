"""What the process knows of its own addresses."""

from __future__ import annotations

import ipaddress
import itertools
from pathlib import Path

from structlog.testing import capture_logs

from router.cluster.interfaces import interface_addresses
from router.cluster.machine import MACHINE, Machine, MachineInput
from router.objects.core import RouterPod
from router.objects.store import Store


def test_interfaces_are_those_of_the_kernel() -> None:
    """Every address that the kernel takes for a local one of IPv4 or IPv6 is among them, and none in another spelling."""
    found = interface_addresses()
    assert "127.0.0.1" in found
    assert all(str(ipaddress.ip_address(each)) == each for each in found)
    lines = Path("/proc/net/if_inet6").read_text().splitlines() if Path("/proc/net/if_inet6").exists() else []
    assert {str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines} <= found
    table = Path("/proc/net/fib_trie").read_text().splitlines()
    local = {
        before.split()[-1] for before, line in itertools.pairwise(table) if line.split() == ["/32", "host", "LOCAL"]
    }
    assert local == {each for each in found if ":" not in each}


def test_interfaces_count_where_the_router_listens_on_all_of_them() -> None:
    """What was told counts always; the interfaces only where nothing was chosen among them."""
    everywhere = Machine(["10.0.0.1"], listens_everywhere=True, addresses=lambda: frozenset({"192.168.0.1"}))
    assert everywhere.look().addresses == ("10.0.0.1", "192.168.0.1")
    chosen = Machine(["10.0.0.1"], listens_everywhere=False, addresses=lambda: frozenset({"192.168.0.1"}))
    assert chosen.look().addresses == ("10.0.0.1",)


def test_a_kernel_that_does_not_tell() -> None:
    """The last addresses stay, and the log says so once."""
    answers: list[frozenset[str]] = [frozenset({"192.168.0.1"})]

    def addresses() -> frozenset[str]:
        if not answers:
            raise PermissionError(1, "Operation not permitted")
        return answers.pop()

    machine = Machine([], listens_everywhere=True, addresses=addresses)
    with capture_logs() as logs:
        looks = [machine.look().addresses for _ in range(3)]
    assert looks == [("192.168.0.1",)] * 3
    assert [line["event"] for line in logs] == ["addresses of the interfaces not read"]


def test_addresses_are_known_before_anything_is_decided() -> None:
    """The store has them from the beginning, also while the thread has not begun."""
    store = Store()
    MachineInput(Machine(["10.0.0.1"], listens_everywhere=False), store)
    changes, _ = store.take()
    assert changes.routers == {MACHINE}
    assert store.objects.routers[MACHINE].addresses == ("10.0.0.1",)
    store.delete(RouterPod, MACHINE)
    assert store.take()[0].routers == {MACHINE}
    assert not store.objects.routers
