"""The process of a pod: an echo server until its standard input ends. Arguments: address, port, prefix of each answer."""

from __future__ import annotations

import sys

from tests.support.servers import echo_server

if __name__ == "__main__":
    address, port, prefix = sys.argv[1:]
    with echo_server(prefix.encode(), address, int(port)) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()
