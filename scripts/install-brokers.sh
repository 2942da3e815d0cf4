#!/bin/sh
# Real etcd and nats-server for the integration tests, from the distribution, when they are not there; and iptables, with
# which the fault suite cuts networks.
set -eu
has() { command -v "$1" >/dev/null 2>&1; }
has etcd && has nats-server && has iptables && exit 0
if has apt-get && [ "$(id -u)" = 0 ]; then
  # Another apt may hold the lock while images are prepared beside the tests.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq etcd-server etcd-client nats-server iptables && exit 0
    sleep 6
  done
fi
# Without iptables the scenarios that need it are left out.
has etcd && has nats-server && exit 0
echo "etcd and nats-server are missing: install them (Debian: etcd-server nats-server) or run with Docker" >&2
exit 1
