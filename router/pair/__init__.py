"""Two clusters that reach each other: what TransportServerClaims of the first one need in both (``tcp-router pair``, docs/pair.md)."""
