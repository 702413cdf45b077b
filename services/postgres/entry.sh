#!/bin/bash
# Starts PostgreSQL: makes the cluster where there is none, puts roles and limits in order, then serves.
#
# PGDATA                         data directory (a folder inside the volume)
# POSTGRES_MAX_CONNECTIONS       the server's limit
# POSTGRES_RESERVED_CONNECTIONS  of these not for the application: 3 superuser, 4 owner, 2 exporter, the rest operators
# POSTGRES_SHARED_BUFFERS        for example 256MB
# POSTGRES_{OWNER,APP,EXPORTER}_PASSWORD
set -euo pipefail

readonly major=17
readonly reserved_at_least=9

fail() {
  echo "trimtab-postgres: $*" >&2
  exit 1
}

: "${PGDATA:?is not set: name the data directory}"
: "${POSTGRES_MAX_CONNECTIONS:=100}" "${POSTGRES_RESERVED_CONNECTIONS:=13}" "${POSTGRES_SHARED_BUFFERS:=128MB}"
for name in POSTGRES_OWNER_PASSWORD POSTGRES_APP_PASSWORD POSTGRES_EXPORTER_PASSWORD; do
  [[ -n ${!name:-} ]] || fail "$name is empty or not set: give each role a password of its own"
done
for name in POSTGRES_MAX_CONNECTIONS POSTGRES_RESERVED_CONNECTIONS; do
  [[ ${!name} =~ ^[1-9][0-9]{0,4}$ ]] || fail "$name is '${!name}', must be a whole number from 1 to 99999"
done
((POSTGRES_RESERVED_CONNECTIONS >= reserved_at_least)) ||
  fail "POSTGRES_RESERVED_CONNECTIONS is $POSTGRES_RESERVED_CONNECTIONS, must be at least $reserved_at_least" \
    "(3 superuser, 4 owner, 2 exporter)"
export POSTGRES_APP_CONNECTION_LIMIT=$((POSTGRES_MAX_CONNECTIONS - POSTGRES_RESERVED_CONNECTIONS))
((POSTGRES_APP_CONNECTION_LIMIT >= 1)) ||
  fail "nothing is left for the application: $POSTGRES_MAX_CONNECTIONS connections," \
    "$POSTGRES_RESERVED_CONNECTIONS reserved; raise POSTGRES_MAX_CONNECTIONS"

if [[ ! -s $PGDATA/PG_VERSION ]]; then
  [[ ! -e $PGDATA ]] || rmdir "$PGDATA" || fail "$PGDATA is no data directory and not empty: move its content away"
  # Made beside and renamed, so that an interrupted initdb leaves nothing that looks like a database.
  rm -rf "$PGDATA.new"
  initdb --pgdata="$PGDATA.new" --username=postgres --data-checksums --encoding=UTF8 \
    --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 \
    --auth-local=peer --auth-host=scram-sha-256 --no-instructions
  mv "$PGDATA.new" "$PGDATA"
  sync "$(dirname "$PGDATA")"
fi
found=$(<"$PGDATA/PG_VERSION")
[[ $found == "$major" ]] || fail "$PGDATA was made by PostgreSQL $found, this image has $major: use pg_upgrade or restore a dump"
chmod 0700 "$PGDATA"

settings=(-c config_file=/etc/trimtab/postgres/postgresql.conf
  -c "max_connections=$POSTGRES_MAX_CONNECTIONS" -c "shared_buffers=$POSTGRES_SHARED_BUFFERS")

# First without TCP: nobody connects before the roles and their limits are right, and recovery is over by then.
postgres "${settings[@]}" -c listen_addresses= &
server=$!
# Stop it on any way out; an orphaned server would hold the lock of the data directory.
trap 'kill -TERM "$server" 2>/dev/null; wait "$server"' EXIT
trap 'exit 130' INT TERM
until pg_isready --quiet --host=/run/postgresql; do
  kill -0 "$server" 2>/dev/null || fail "the server stopped while starting: see its messages above"
  sleep 0.1
done
psql --no-psqlrc --quiet --tuples-only --host=/run/postgresql --username=postgres --dbname=postgres \
  --file=/etc/trimtab/postgres/roles.sql || fail "roles.sql failed: see the message above"
trap - EXIT INT TERM
kill -TERM "$server"
wait "$server"

exec postgres "${settings[@]}"
