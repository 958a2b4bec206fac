"""What the router tells: metrics, health and the ports it serves."""
