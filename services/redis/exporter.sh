#!/bin/sh
# Starts the exporter of the pod's own Redis. It reads REDIS_PASSWORD from the environment by itself.
exec prometheus-redis-exporter -redis.addr redis://127.0.0.1:6379 -web.listen-address :9121 -include-system-metrics=false
