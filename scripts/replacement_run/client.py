"""Connect again and again, in several threads, until told to end; then say how it went: ``python client.py <port>...``.

A process of its own, so that many clients are not kept waiting by one interpreter.
"""

from __future__ import annotations

import itertools
import json
import signal
import socket
import sys
import threading
from collections import Counter

_THREADS = 12
_WITHIN_S = 20.0


def main(ports: list[int]) -> None:
    """Connect to these in turn."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    stopping = threading.Event()
    became: Counter[str] = Counter()
    threads = [
        threading.Thread(target=_connect, args=(ports[n % len(ports) :] + ports, stopping, became))
        for n in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    signal.sigwait({signal.SIGTERM})
    stopping.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(became))


def _connect(ports: list[int], stopping: threading.Event, became: Counter[str]) -> None:
    for port in itertools.cycle(ports):
        if stopping.is_set():
            return
        try:
            with socket.create_connection(("127.0.0.1", port), _WITHIN_S) as connection:
                connection.sendall(b"ping")
                became["served" if connection.recv(4) == b"ping" else "ended"] += 1
        except OSError as error:
            became[type(error).__name__] += 1


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]])
