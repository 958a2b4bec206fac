"""The process of a pod: a server until its standard input ends. Arguments: address, port, text, and a certificate or nothing.

Without a certificate it echoes, with the text before each piece; with one it answers the text over TLS.
"""

from __future__ import annotations

import ssl
import sys

from tests.support.servers import echo_server, tls_server

if __name__ == "__main__":
    address, port, text, certificate = sys.argv[1:]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        made = tls_server(context, text.encode(), address, int(port))
    else:
        made = echo_server(text.encode(), address, int(port))
    with made as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()
