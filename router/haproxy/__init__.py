"""The running HAProxy: its binary, process, sockets and their replies."""
