#!/bin/sh
# Whether Redis answers with the password that the pod was given (redis-cli itself exits 0 on an error reply).
answer=$(REDISCLI_AUTH=$REDIS_PASSWORD redis-cli -h 127.0.0.1 ping 2>&1)
[ "$answer" = PONG ] || {
  echo "$answer" >&2
  exit 1
}
