"""Which DNS servers are asked."""

from __future__ import annotations

import os
from pathlib import Path

from router.cluster.names.resolv_conf import Servers, servers_of

TEXT = """\
# made by the kubelet
search team.svc.cluster.local svc.cluster.local
nameserver 172.30.0.10
 nameserver\t2001:db8::53
nameserver
nameserver no-address
nameserver 172.30.0.10
;nameserver 192.0.2.1
nameserver fe80::1%eth0
nameserver 192.0.2.4
options ndots:5
"""


def test_the_first_three_servers() -> None:
    """In their order, each once; what is no address is passed over."""
    assert servers_of(TEXT) == (("172.30.0.10", 53), ("2001:db8::53", 53), ("fe80::1%eth0", 53))
    assert servers_of("") == ()


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """The last servers stay while it cannot be read; those that an admin chose come before all."""
    path = tmp_path / "resolv.conf"
    servers = Servers(path=path)
    assert servers() == ()
    path.write_text("nameserver 192.0.2.1\n")
    assert servers() == (("192.0.2.1", 53),)
    path.write_text("nameserver 192.0.2.2\n")
    os.utime(path, ns=(1, 1))
    assert servers() == (("192.0.2.2", 53),)
    path.unlink()
    assert servers() == (("192.0.2.2", 53),)
    assert Servers((("192.0.2.9", 5353),), path)() == (("192.0.2.9", 5353),)
