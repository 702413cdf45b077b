#!/bin/bash
# Starts the exporter. It reaches the server of its own pod under its own role, which may hold two connections.
#
# POSTGRES_EXPORTER_PASSWORD
set -euo pipefail
[[ -n ${POSTGRES_EXPORTER_PASSWORD:-} ]] || {
  echo "trimtab-postgres-exporter: POSTGRES_EXPORTER_PASSWORD is empty or not set" >&2
  exit 1
}
export DATA_SOURCE_URI='127.0.0.1:5432/catalog?sslmode=disable&connect_timeout=3&application_name=exporter'
export DATA_SOURCE_USER=trimtab_exporter
export DATA_SOURCE_PASS=$POSTGRES_EXPORTER_PASSWORD
unset POSTGRES_EXPORTER_PASSWORD
# Off: what walks the file system or the lock table at each scrape, and what this server has not (replicas).
exec prometheus-postgres-exporter \
  --web.listen-address=:9187 \
  --config.file=/etc/trimtab/postgres/exporter.yaml \
  --extend.query-path=/etc/trimtab/postgres/queries.yaml \
  --no-collector.database --no-collector.wal --no-collector.locks \
  --no-collector.replication --no-collector.replication_slot --no-collector.statio_user_tables \
  --log.level=warn
