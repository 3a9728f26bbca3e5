# Sourced by the scripts: saying things, and having what they need.
# shellcheck shell=bash

# The folder of this checkout.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# say prints one line of the story on standard output.
say() { printf '%s\n' "$*"; }

# die ends the script with one line on standard error.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

missing_packages=()

# need COMMAND PACKAGE WHY notes the Debian package if there is no such command.
# COMMAND may also be an absolute path, for packages that bring no command.
need() {
	if ! command -v "$1" >/dev/null && [[ ! -e $1 ]]; then
		say "missing: $2 ($3)"
		missing_packages+=("$2")
	fi
}

# need_compiler notes what cgo calls. The package gcc only recommends the header files.
need_compiler() {
	need gcc gcc "popfetch keeps its records in SQLite, which is C"
	need /usr/include/stdio.h libc6-dev "C's header files, for SQLite"
}

# install_missing installs what need has noted, or says how to.
install_missing() {
	((${#missing_packages[@]})) || return 0
	local line="apt-get install --no-install-recommends ${missing_packages[*]}"
	command -v apt-get >/dev/null || die "please install these by hand: ${missing_packages[*]}"
	((EUID == 0)) || die "please run: sudo $line"
	say "\$ $line"
	without_services apt_install "${missing_packages[@]}"
	missing_packages=()
}

apt_install() {
	export DEBIAN_FRONTEND=noninteractive
	local log
	log=$(mktemp)
	if ! { apt-get update -q && apt-get install -qy --no-install-recommends "$@"; } </dev/null >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		die "apt-get could not install $*"
	fi
	rm -f "$log"
}

# without_services COMMAND... runs it while no package may start a service:
# dovecot-core would open the POP3 port of this machine to the world.
without_services() {
	local policy=/usr/sbin/policy-rc.d status=0
	if [[ -e $policy ]]; then
		"$@"
		return
	fi
	(
		# Left behind, it would keep every later package from starting its service.
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		"$@"
	) || status=$?
	return "$status"
}

# need_go stops where there is no usable Go. From 1.21 on the go command fetches
# the toolchain that go.mod names; Debian's package forbids that by
# GOTOOLCHAIN=local, hence the export.
need_go() {
	local have
	command -v go >/dev/null || die "Go is missing; version 1.21 or later is enough: https://go.dev/doc/install"
	have=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
	at_least "${have#go}" 1.21 || die "$have is too old; version 1.21 or later is enough: https://go.dev/doc/install"
	[[ ${GOTOOLCHAIN:-local} != local ]] || export GOTOOLCHAIN=auto
	# A clone that belongs to somebody else has no version for git to tell.
	git -C "$root" rev-parse >/dev/null 2>&1 || export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
}

# at_least VERSION MINIMUM compares dotted versions.
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# build_popfetch FILE builds the program from this checkout. It goes through C
# for SQLite, which takes a minute or two the first time.
build_popfetch() { (cd "$root" && go build -o "$1" ./cmd/popfetch); }
