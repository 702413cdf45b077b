#!/bin/bash
# Starts Redis with its password and its memory limit.
#
# REDIS_PASSWORD                 required
# REDIS_MAXMEMORY                for example 64mb
# REDIS_MAXMEMORY_POLICY         which keys go first when it is full
set -euo pipefail

: "${REDIS_MAXMEMORY:=64mb}" "${REDIS_MAXMEMORY_POLICY:=allkeys-lfu}"
[[ ${REDIS_PASSWORD:-} =~ ^[[:graph:]]+$ ]] || {
  echo "trimtab-redis: REDIS_PASSWORD is empty, not set, or holds spaces: give one of printable characters" >&2
  exit 1
}
# In a file that only this user reads: an argument would show in the list of processes.
umask 077
quoted=${REDIS_PASSWORD//\\/\\\\}
quoted=${quoted//\"/\\\"}
cat > /run/redis/redis.conf <<CONF
include /etc/trimtab/redis/redis.conf
maxmemory $REDIS_MAXMEMORY
maxmemory-policy $REDIS_MAXMEMORY_POLICY
requirepass "$quoted"
CONF
unset REDIS_PASSWORD quoted
exec redis-server /run/redis/redis.conf
