"""The real servers as ordinary processes: PostgreSQL, PgBouncer, Redis, Prometheus and two exporters.

Integration tests, benchmarks and the local platform start them here, on free ports of 127.0.0.1, with their data in a
given directory. Reading order: `packages` (which versions), `rootfs` (where the programs come from), `installation`
(how a program is entered), `server` (start, stop, kill, readiness), then one file a server.
"""
