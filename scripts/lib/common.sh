# Sourced by the scripts: prints messages and installs packages.
# shellcheck shell=bash

# The folder of this checkout.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# say prints one line on standard output.
say() { printf '%s\n' "$*"; }

# die prints one line on standard error and ends the script with exit status 1.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

missing_packages=()

# need COMMAND PACKAGE WHY records the Debian package if the command is missing. COMMAND may be an
# absolute path, for packages without a command.
need() {
	if ! command -v "$1" >/dev/null && [[ ! -e $1 ]]; then
		say "missing: $2 ($3)"
		missing_packages+=("$2")
	fi
}

# need_compiler records what cgo needs. The package gcc only recommends the header files.
need_compiler() {
	need gcc gcc "compiles SQLite, in which popfetch keeps its records"
	need /usr/include/stdio.h libc6-dev "C's header files, for SQLite"
}

# install_missing installs the packages that need has recorded. Without root it prints the command
# instead.
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

# without_services COMMAND... runs the command while no package may start a service. Otherwise
# dovecot-core would open the POP3 port of this machine to everybody.
without_services() {
	local policy=/usr/sbin/policy-rc.d status=0
	if [[ -e $policy ]]; then
		"$@"
		return
	fi
	(
		# If this file remained, no later package could start its service.
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		"$@"
	) || status=$?
	return "$status"
}

# need_go ends the script if there is no usable Go. Since 1.21 the go command downloads the
# toolchain that go.mod names. Debian's package sets GOTOOLCHAIN=local, which forbids that, so
# need_go changes it.
need_go() {
	local have
	command -v go >/dev/null || die "Go is missing. Install version 1.21 or later: https://go.dev/doc/install"
	have=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
	at_least "${have#go}" 1.21 || die "$have is too old. Install version 1.21 or later: https://go.dev/doc/install"
	[[ ${GOTOOLCHAIN:-local} != local ]] || export GOTOOLCHAIN=auto
	# If the clone belongs to another user, git refuses to tell its version.
	git -C "$root" rev-parse >/dev/null 2>&1 || export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
}

# at_least VERSION MINIMUM compares versions such as 1.21.3.
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

# build_popfetch FILE builds the program from this checkout. The first time this takes a minute or
# two, because it compiles SQLite.
build_popfetch() { (cd "$root" && go build -o "$1" ./cmd/popfetch); }
