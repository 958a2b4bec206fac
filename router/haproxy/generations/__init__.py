"""Several generations of one router on one network of one node: who else is there, and what of it is proven.

During an update the new pod starts beside the old one. Where both are on the host's network, HAProxy's listeners of both share
a port (SO_REUSEPORT): wanted between generations of one router, and a theft of clients between anybody else.
"""

from router.haproxy.generations.announcement import Announcement, Identity
from router.haproxy.generations.announcer import Announcer
from router.haproxy.generations.neighbours import NOBODY, Neighbours, Others, inodes_by_port

__all__ = ["NOBODY", "Announcement", "Announcer", "Identity", "Neighbours", "Others", "inodes_by_port"]
