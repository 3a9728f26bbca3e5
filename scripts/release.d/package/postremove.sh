#!/bin/sh
# Runs after the package is removed, purged or upgraded, by dpkg and rpm. Configuration, records and
# mail stay, also if it is purged: they cannot be had again.
set -e

if [ "${1:-}" = purge ] && [ -e /var/lib/popfetch ]; then
	echo "popfetch: mail and records stay in /var/lib/popfetch"
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload
