#!/usr/bin/env bash
# Runs a command with DATABASE_URL of a throw-away PostgreSQL: with-postgres.sh COMMAND …
set -euo pipefail
bin=${CLINICD_PG_BIN:-$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)}
dir=$(mktemp -d /tmp/clinicd-scratch.XXXXXX)
as() { if [ "$(id -u)" = 0 ]; then (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$@"); else "$@"; fi; }
[ "$(id -u)" != 0 ] || chown postgres "$dir"
finish() { as "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop || true; rm -rf "$dir"; }
trap finish EXIT
as "$bin/initdb" -U postgres -E UTF8 --locale=C.UTF-8 -A trust -N "$dir/data" >/dev/null
as "$bin/pg_ctl" -D "$dir/data" -s -w -l "$dir/log" -o "-k $dir -c listen_addresses= -c fsync=off" start
as "$bin/createdb" -h "$dir" -U postgres scratch
DATABASE_URL="postgresql://postgres@${dir//\//%2F}/scratch" "$@"
