#!/bin/sh
# Real etcd and nats-server for the integration tests, from the distribution, when they are not there.
set -eu
command -v etcd >/dev/null 2>&1 && command -v nats-server >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  # Another apt may hold the lock while images are prepared beside the tests.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq etcd-server etcd-client nats-server && exit 0
    sleep 6
  done
fi
echo "etcd and nats-server are missing: install them (Debian: etcd-server nats-server) or run with Docker" >&2
exit 1
