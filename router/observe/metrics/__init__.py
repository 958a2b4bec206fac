"""What Prometheus scrapes: of the router, of its API server, and of HAProxy."""
