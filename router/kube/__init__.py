"""Access to a Kubernetes API server: configuration, authentication, transport, and its errors as our own."""
