"""Leader election by a Lease: which of all replicas may write."""
