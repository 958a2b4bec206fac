"""How the certificates of clients are asked for in a configuration, and where an admin's template would not do so.

No session is resumed at a port that asks for them (``no-tls-tickets``, and no session cache of the process): HAProxy would take one that was
begun at another port, or before an authority or a certificate was taken out of what it verifies by (docs/tls.md).
"""

from __future__ import annotations

import re

from router.model.tls import PortTls
from router.render.quoting import quoted

_NO_CACHE = re.compile(r"^\s*tune\.ssl\.cachesize\s+0\s*$", re.MULTILINE)
_GUARD = re.compile(
    r"^\s*tcp-request (connection|session|content) reject (if !\{ ssl_c_used \}|unless \{ ssl_c_used \})\s*$",
    re.MULTILINE,
)


def has_no_cache(process: str) -> bool:
    """Say whether a process with this global part has no cache of sessions."""
    return _NO_CACHE.search(process) is not None


def client_words(tls: PortTls | None, authorities: str | None, revoked: str | None) -> str:
    """Give what the ``bind`` line of a port has to verify clients, with a blank before it; nothing where it does not.

    Args:
        tls: how the port ends TLS.
        authorities: the path of the file of who signs the certificates of clients.
        revoked: the path of that of lists of revoked ones; None is none.
    """
    if tls is None or tls.clients is None or authorities is None:
        return ""
    lists = f" crl-file {quoted(revoked)}" if revoked is not None else ""
    verify = "required" if tls.clients.required else "optional"
    return f" ca-file {quoted(authorities)}{lists} verify {verify} no-tls-tickets"


def clients_problem(text: str, process: str, tls: PortTls | None, words: str) -> str | None:
    """Say where a template would let clients in that it should not.

    Args:
        text: the section.
        process: the global part.
        tls: how the section's port ends TLS.
        words: as ``client_words`` gives them.
    """
    if tls is None or tls.clients is None:
        return None
    binds = [line for line in text.splitlines() if line.split()[:1] == ["bind"]]
    if not binds or any(words not in line for line in binds):
        return "binds a port without asking clients for certificates (tls_options); see docs/tls.md"
    if not has_no_cache(process):
        return "asks clients for certificates, and the global part has no tune.ssl.cachesize 0: sessions of other ports would be resumed; see docs/tls.md"
    if tls.clients.required and not _GUARD.search(text):
        return "asks clients for certificates without 'tcp-request content reject if !{ ssl_c_used }'; see docs/tls.md"
    if tls.clients.subjects and "ssl_c_s_dn" not in text:
        return "lets in clients whatever the subject of their certificate (ssl_c_s_dn); see docs/tls.md"
    return None
