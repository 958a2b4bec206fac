"""The Kubernetes objects: the fields that the router reads of them, decoding, and the store of the current ones."""
