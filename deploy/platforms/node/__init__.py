"""A real single-node Kubernetes from upstream binaries, for machines without a Docker engine."""
