"""What the router shows of itself: the HTTP port, health, the table of ports, metrics."""
