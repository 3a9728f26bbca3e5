#!/bin/sh
# Runs after the package is installed or upgraded, by dpkg and rpm. A service that was running goes
# on with the new program. A new installation starts nothing, because it has no configuration yet.
set -e

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl try-restart popfetch.service
