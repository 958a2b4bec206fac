"""What names led to last, kept in the state directory: a router that begins again while no DNS server answers serves as before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from router import owned, shapes
from router.objects.meta import ObjectMeta
from router.objects.resolved import ResolvedName
from router.shapes import reader

log = structlog.get_logger()


class _Kept(msgspec.Struct, frozen=True):
    namespace: str
    service: str
    name: str
    addresses: tuple[str, ...]


_read = reader(tuple[_Kept, ...])


def read(path: Path) -> tuple[ResolvedName, ...]:
    """Give what was known when the file was written; nothing where there is none that can be trusted and read."""
    try:
        content = owned.read_file(path)
        kept = _read(content) if content is not None else ()
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError) as error:
        log.warning("addresses of names not known", path=str(path), problem=str(error))
        return ()
    return tuple(
        ResolvedName(ObjectMeta(name=each.service, namespace=each.namespace), each.name, each.addresses)
        for each in kept
    )


def write(path: Path, known: Iterable[ResolvedName]) -> None:
    """Write what is known, whole or not at all. It need not outlive a crash of the machine: then it is looked up.

    Raises:
        OSError: it cannot be written.
    """
    content = shapes.write(
        [
            _Kept(each.metadata.namespace, each.metadata.name, each.name, each.addresses)
            for each in sorted(known, key=lambda each: each.key)
            if each.addresses
        ]
    )
    beside = path.with_name(f"{path.name}.new")
    owned.write_file(beside, content)
    beside.replace(path)
