# shellcheck shell=bash disable=SC2034,SC2154
title=Mailpit
ways=('TLS|implicit|995')
changes='the fields Return-Path and Received are added, and an empty line at the end'
notes=('It is made for tests.')
mailpit_version=v1.33.1

version() { printf '%s' "$mailpit_version"; }

build() {
	local folder=$tools/mailpit-$mailpit_version
	[[ -x $folder/mailpit ]] || (cd / && CGO_ENABLED=0 GOFLAGS='' GOBIN=$folder go install "github.com/axllent/mailpit@$mailpit_version")
	cp "$folder/mailpit" "$machine/usr/local/bin"
}

serve() {
	printf 'alice:%s\n' "$password" >/tmp/mailpit.users
	mailpit --listen 127.0.0.1:8025 --smtp 127.0.0.1:1025 --disable-version-check --pop3 127.0.0.1:995 --pop3-auth-file /tmp/mailpit.users \
		--pop3-tls-cert "$work/server.pem" --pop3-tls-key "$work/server.key" &
}

fill() { give_smtp 1025; }

undo() { sed -e '1,/for <alice/d' -e '$d'; }
