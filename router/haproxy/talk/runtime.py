"""Change a worker while it runs: send commands in batches to its stats socket, and read the reply to each of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from router.errors import UnexpectedReply
from router.haproxy.talk.cli_socket import Connect, command
from router.haproxy.talk.stats import asking_for_servers, sessions_of_servers
from router.plan.commands import Answer, Command
from router.plan.commands import abort_transaction as abort

# HAProxy takes a line of 16 KiB (tune.bufsize), less some room that it reserves (tune.maxrewrite).
_BATCH_BYTES = 12_000
_LONGEST_SHOWN = 200

# Those of 2.8 and 3.0. What an address was before stands in the reply; that it had been the same is no fault.
_ANSWERS = {
    Answer.SILENCE: re.compile(""),
    Answer.SERVER_ADDED: re.compile(r"New server registered\."),
    Answer.ADDRESS_SET: re.compile(r"(IP changed from|port changed from|no need to change the addr|nothing changed).*"),
    Answer.FRONTEND_CLOSED: re.compile(r"(All sockets are already disabled\.)?"),
    Answer.FRONTEND_OPEN: re.compile(r"(All sockets are already enabled\.)?"),
    Answer.TRANSACTION: re.compile(r"[Tt]ransaction (created|updated) for .*"),
    # Dots while it works, and warnings, may come before.
    Answer.DONE: re.compile(
        r"(.*\n)*(New empty certificate store '.*'!|Success!|Entry '.*' deleted in crtlist '.*'!|Certificate '.*' deleted!"
        r"|New (CA|CRL) file created '.*'!|(CA|CRL) file '.*' deleted!)"
    ),
    Answer.BACKEND_ADDED: re.compile(r"New backend registered\."),
    Answer.BACKEND_PUBLISHED: re.compile(r"Backend published\."),
    Answer.COMMITTED: re.compile(r"(.*\n)*Success!"),
    # A dot for each bind that it made anew. Without the fix of its issue 3165 (3.0.11, all before 3.2.8) HAProxy loses sight of the binds of a
    # certificate when what clients are verified by was changed there: it says Success then, goes on showing the former one, and ends by a fault of
    # its own at the next change of that. So it is loaded anew before.
    Answer.SHOWN: re.compile(r"(.*\n)*Committing .*[^.\n]\.+\n(.*\n)*Success!"),
}
_SAY_NOTHING = frozenset(each for each, answer in _ANSWERS.items() if answer.fullmatch(""))
_OF_TRANSACTIONS = frozenset({Answer.TRANSACTION, Answer.COMMITTED, Answer.SHOWN})
_REPLACED = re.compile(r"Frontend was previously shut down, cannot (disable|enable)\.")
"""A worker that was just replaced, and took the connection before it stopped to listen, says so of all its ports."""
_REPLACED_S = 1.0
"""How long to try anew: this worker may as well be the newest, with a port that an administrator shut down."""
_REPLACED_PAUSE_S = 0.02
_COUNTED = re.compile(r" - [0-9]+ certificate\(s\)$")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{16,}")
_DELETED = re.compile(r"Server deleted\.|No such server\.")
_BACKEND_DELETED = re.compile(r"(.*\n)*(Backend deleted\.|No such backend\.)")
_ADDS_BACKENDS = re.compile(r"^\s*add backend <backend>", re.MULTILINE)
_STILL_THERE = re.compile(
    r"Server still has connections attached to it, cannot remove it\..*|Only servers in maintenance.*"
    # A template of the admin's has it in a "use-server" or "track": it goes at the next reload.
    r"|This server cannot be removed at runtime due to other configuration elements pointing to it\."
)


def run(
    stats_socket: Path,
    commands: Iterable[Command],
    timeout_s: float,
    sent: Callable[[], None] | None = None,
    by: Connect | None = None,
) -> None:
    """Carry out commands, in their order.

    Args:
        stats_socket: the worker's.
        commands: any number of them.
        timeout_s: seconds for all of them together.
        sent: is told when the worker's socket has some, and no answer was read yet.
        by: gives connections, in the place of ``cli_socket.connect``.

    Raises:
        UnexpectedReply: a reply is not that of a command which worked. Those before it were carried out; so, perhaps, were
            some after it.
        HaproxyUnreachable: the worker does not answer in time; what was carried out is not known.
    """
    ends_s = time.monotonic() + timeout_s
    for batch in _batches(commands):
        replies = _newest_replies(stats_socket, batch, ends_s, sent, by)
        if batch[0].answer is Answer.TRANSACTION and not _worked(batch[0], replies[0]):
            # There is one transaction for all files of a kind: whoever left one behind, and be it a router that was killed, is not coming back.
            abort_transaction(stats_socket, _left_s(ends_s))
            replies = _replies(stats_socket, batch, ends_s, sent)
        for each, reply in zip(batch, replies, strict=True):
            if not _worked(each, reply):
                if each.answer in _OF_TRANSACTIONS:
                    abort_transaction(stats_socket, _left_s(ends_s))
                raise _unexpected(each, reply)


def abort_transaction(stats_socket: Path, timeout_s: float) -> None:
    """Let go of changes to certificates, authorities and lists of revoked ones that were begun and never committed, if there are any."""
    for kind in ("cert", "ca-file", "crl-file"):
        for line in command(stats_socket, f"show ssl {kind}", timeout_s).splitlines():
            # What waits has a star before its name, and that of authorities how many they are behind it.
            if line.startswith("*"):
                command(stats_socket, abort(kind, _COUNTED.sub("", line[1:])).text, timeout_s)


def _worked(each: Command, reply: str) -> bool:
    # Nearly always, and tens of thousands of times after a reload, nothing is said.
    return each.answer in _SAY_NOTHING if not reply else _ANSWERS[each.answer].fullmatch(reply) is not None


def idle_servers(
    stats_socket: Path, servers: Collection[tuple[str, str]], drained: Collection[tuple[str, str]], timeout_s: float
) -> frozenset[tuple[str, str]]:
    """Find retired servers that have no connections.

    Args:
        stats_socket: the worker's.
        servers: (backend, server) of those in maintenance.
        drained: the same of those that drain, and get into maintenance only now, when their connections are gone.
        timeout_s: seconds for all of them together.

    Returns:
        Those that have none, or are not there; all of them in maintenance.

    Raises:
        HaproxyUnreachable: the worker does not answer in time.
        UnexpectedReply: it answers something else.
    """
    ends_s = time.monotonic() + timeout_s
    backends = sorted({backend for backend, _ in (*servers, *drained)})
    sessions: dict[tuple[str, str], int] = {}
    for batch in _batches(map(Command, asking_for_servers(backends))):
        for reply in _replies(stats_socket, batch, ends_s):
            sessions.update(sessions_of_servers(reply))
    idle = [name for name in drained if not sessions.get(name)]
    run(stats_socket, [Command(f"set server {backend}/{server} state maint") for backend, server in idle], timeout_s)
    return frozenset([*idle, *(name for name in servers if not sessions.get(name))])


def delete_servers(
    stats_socket: Path, servers: Collection[tuple[str, str]], timeout_s: float
) -> frozenset[tuple[str, str]]:
    """Delete servers in maintenance.

    Args:
        stats_socket: the worker's.
        servers: (backend, server) of those that had no connections for so long that none remembers them.
        timeout_s: seconds for all of them together.

    Returns:
        Those that are there no more.

    Raises:
        HaproxyUnreachable: the worker does not answer in time.
        UnexpectedReply: it answers something else than whether a server was deleted.
    """
    ends_s = time.monotonic() + timeout_s
    gone = set()
    for batch in _batches([Command(f"del server {backend}/{server}") for backend, server in servers]):
        for sent, reply in zip(batch, _replies(stats_socket, batch, ends_s), strict=True):
            if _DELETED.fullmatch(reply):
                backend, _, server = sent.text.removeprefix("del server ").partition("/")
                gone.add((backend, server))
            elif not _STILL_THERE.fullmatch(reply):
                raise UnexpectedReply(f"to {sent.text[:_LONGEST_SHOWN]!r} HAProxy answered {reply[:_LONGEST_SHOWN]!r}")
    return frozenset(gone)


def adds_backends(stats_socket: Path, timeout_s: float) -> bool:
    """Say whether a worker adds and deletes backends while it runs: HAProxy 3.4 and newer say so in their help.

    Raises:
        HaproxyUnreachable: the worker does not answer in time.
    """
    return _ADDS_BACKENDS.search(command(stats_socket, "help", timeout_s)) is not None


def delete_backends(stats_socket: Path, names: Collection[str], timeout_s: float) -> dict[str, str]:
    """Delete backends to which nobody is led any more, and which have no servers.

    Args:
        stats_socket: the worker's.
        names: the backends.
        timeout_s: seconds for all of them together.

    Returns:
        Those that are still there, and what HAProxy says of each: something else refers to one, or a client is in it still.

    Raises:
        HaproxyUnreachable: the worker does not answer in time.
        UnexpectedReply: it gives another number of replies.
    """
    ends_s = time.monotonic() + timeout_s
    refused = {}
    texts = [text for name in names for text in (f"unpublish backend {name}", f"del backend {name}")]
    for batch in _batches(map(Command, texts)):
        for sent, reply in zip(batch, _replies(stats_socket, batch, ends_s), strict=True):
            if sent.text.startswith("del ") and not _BACKEND_DELETED.fullmatch(reply):
                refused[sent.text.removeprefix("del backend ")] = " ".join(reply.split())[:_LONGEST_SHOWN]
    return refused


def _unexpected(each: Command, reply: str) -> UnexpectedReply:
    # What HAProxy does not understand it says again, and what was to be a payload may be a private key.
    said = _BASE64.sub("...", reply) if each.payload else reply
    return UnexpectedReply(f"to {each.text[:_LONGEST_SHOWN]!r} HAProxy answered {said[:_LONGEST_SHOWN]!r}")


def _batches(commands: Iterable[Command]) -> Iterator[list[Command]]:
    batch: list[Command] = []
    size = 0
    for each in commands:
        if each.payload:
            # What follows it on a line would be a part of it.
            if batch:
                yield batch
            yield [each]
            batch, size = [], 0
            continue
        length = len(each.text) + 1
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += length
    if batch:
        yield batch


def _replies(
    stats_socket: Path,
    batch: Sequence[Command],
    ends_s: float,
    sent: Callable[[], None] | None = None,
    by: Connect | None = None,
) -> list[str]:
    text = ";".join(each.text for each in batch)
    answer = command(stats_socket, text, _left_s(ends_s), sent, payload=batch[0].payload, by=by)
    replies = split_replies(answer)
    if len(replies) != len(batch):
        raise UnexpectedReply(
            f"to {len(batch)} commands from {batch[0].text[:_LONGEST_SHOWN]!r} HAProxy gave {len(replies)} replies: "
            f"{answer[:_LONGEST_SHOWN]!r}"
        )
    return replies


def _newest_replies(
    stats_socket: Path,
    batch: Sequence[Command],
    ends_s: float,
    sent: Callable[[], None] | None,
    by: Connect | None,
) -> list[str]:
    """Have commands carried out by a worker that was not replaced."""
    replaced_ends_s = min(ends_s, time.monotonic() + _REPLACED_S)
    replies = _replies(stats_socket, batch, ends_s, sent, by)
    while any(map(_REPLACED.fullmatch, filter(None, replies))) and time.monotonic() < replaced_ends_s:
        time.sleep(_REPLACED_PAUSE_S)
        replies = _replies(stats_socket, batch, ends_s, sent)
    return replies


def split_replies(answer: str) -> list[str]:
    """Tell the replies of several commands from each other.

    Each ends with an empty line; that of a command with nothing to say is just this empty line.
    """
    replies: list[str] = []
    lines: list[str] = []
    for line in answer.split("\n")[:-1]:
        if line:
            lines.append(line)
        else:
            replies.append("\n".join(lines))
            lines = []
    return replies


def _left_s(ends_s: float) -> float:
    return max(ends_s - time.monotonic(), 0.0)
