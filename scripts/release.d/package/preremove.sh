#!/bin/sh
# Runs before the package is removed or upgraded, by dpkg ("remove") and rpm ("0"). An upgrade
# leaves the service as it is.
set -e

case ${1:-} in
remove | 0) ;;
*) exit 0 ;;
esac
command -v systemctl >/dev/null || exit 0
if [ -d /run/systemd/system ]; then
	systemctl stop popfetch.timer popfetch.service popfetch-once.service
fi
systemctl --quiet disable popfetch.timer popfetch.service
