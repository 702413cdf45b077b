"""Kubernetes in Docker through k3d: the way most users run it."""
