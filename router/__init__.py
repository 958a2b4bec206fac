"""OpenShift TCP Router: external TCP ports for Routes, served by HAProxy."""

import importlib
import sys
from typing import Any

__version__ = "0.1.0"


def _import_structlog(without: str, modules: dict[str, Any]) -> None:
    """Import structlog, before anybody else does, without what it would take along wherever that is installed.

    It draws tracebacks with rich, which we do not log. All starts would wait 60 ms for it, and keep 5 MiB; who wants tables imports it on first use.
    """
    if "structlog" not in modules and without not in modules:
        # As of a module that is not there.
        modules[without] = None
        try:
            importlib.import_module("structlog")
        finally:
            del modules[without]


_import_structlog("rich", sys.modules)
