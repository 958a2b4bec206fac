"""OpenShift TCP Router: external TCP ports for Routes, served by HAProxy."""

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"


def _import_structlog(modules: dict[str, Any]) -> None:
    """Import structlog, before anybody else does, without what it would take along and we have no use for.

    It draws tracebacks with rich wherever that is installed, which we do not log: all starts would wait 60 ms for it, and keep 5 MiB; who wants tables imports it on first
    use. It can log from coroutines, of which there are none here: asyncio takes 40 ms, and 1.4 MiB.
    """
    if "structlog" in modules:
        return
    # The one as a module that is not there, the other as one with nothing in it, which is looked into in coroutines alone.
    without = {"rich": None, "asyncio": ModuleType("asyncio")}
    instead = {name: module for name, module in without.items() if name not in modules}
    modules.update(instead)
    try:
        importlib.import_module("structlog")
    finally:
        for name in instead:
            del modules[name]


_import_structlog(sys.modules)
