"""Runs the router in a process in which things can be broken from outside: its threads, and what they call.

As a program it takes a FIFO and then the command that runs the router, and reads orders from the FIFO, a line each:

- ``kill NAME``: raise an exception in the threads of that name, wherever they are;
- ``fail N``: let the next N decisions of the reconcile thread raise an exception;
- ``end``: let the next one end the thread.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import sys
import threading
from pathlib import Path
from typing import Any


class Sabotage:
    """Gives orders to a router that was started by ``launcher``."""

    def __init__(self, directory: Path) -> None:
        self._fifo = directory / "sabotage"
        self._writing: int | None = None

    @property
    def launcher(self) -> tuple[str, ...]:
        """What to put before the router's command."""
        if not self._fifo.exists():
            os.mkfifo(self._fifo)
        return (sys.executable, __file__, str(self._fifo))

    def order(self, text: str) -> None:
        """Give an order."""
        # Opened for reading too, so that it neither waits for the router nor ends with it.
        descriptor = os.open(self._fifo, os.O_RDWR)
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            self._keep(descriptor)

    def close(self) -> None:
        """Give no more orders."""
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _keep(self, descriptor: int) -> None:
        """Keep the FIFO open, or what nobody has read yet would be lost."""
        former, self._writing = self._writing, descriptor
        if former is not None:
            os.close(former)


class Unforeseen(Exception):
    """What nobody foresaw."""


def _obey(fifo: str) -> None:
    failing = [0]
    ending = [False]
    _intercept(failing, ending)
    with os.fdopen(os.open(fifo, os.O_RDWR), encoding="utf-8") as orders:
        for line in orders:
            what, _, argument = line.strip().partition(" ")
            if what == "kill":
                for thread in threading.enumerate():
                    if thread.name == argument and thread.ident is not None:
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(
                            ctypes.c_ulong(thread.ident), ctypes.py_object(Unforeseen)
                        )
            elif what == "fail":
                failing[0] = int(argument)
            elif what == "end":
                ending[0] = True


def _intercept(failing: list[int], ending: list[bool]) -> None:
    from router.reconcile.isolation import Isolation  # noqa: PLC0415 - the router is imported by its command

    update = Isolation.update

    def broken(self: Isolation, *args: Any) -> Any:
        if ending[0]:
            raise SystemExit(3)
        if failing[0] > 0:
            failing[0] -= 1
            raise Unforeseen
        return update(self, *args)

    setattr(Isolation, "update", broken)  # noqa: B010 - of another form than the method


def _main() -> None:
    fifo, _, _, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    threading.Thread(target=_obey, args=(fifo,), name="sabotage", daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
