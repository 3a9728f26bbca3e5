# shellcheck shell=bash disable=SC2034,SC2154
title='Solid POP3'
packages=(solid-pop3d systemd bsdutils)
ways=('no TLS|none|110')
changes='an empty line is added at the end, and From at the start of a line is quoted'

notes=('It has neither TLS nor CAPA, so popfetch needs tls = "none". Its APOP has a secret of its own (pop_auth).')

version() { dpkg-query -W -f '${Version}' solid-pop3d; }

# serve also gives alice a secret for APOP. She types it on a terminal when she is asked, twice. As a
# daemon of its own, the server would take only eight connections; inetd starts it in Debian.
serve() {
	local asked
	coproc script -qec 'su alice -c pop_auth' /dev/null
	for asked in 1 2; do
		IFS= read -r -d : -u "${COPROC[0]}"
		printf '%s\n' "$password" >&"${COPROC[1]}"
	done
	wait "$COPROC_PID"
	systemd-socket-activate --accept --inetd --listen=127.0.0.1:110 /usr/sbin/solid-pop3d &
}

undo() { sed -e '$d' -e 's/^>\(>*From \)/\1/'; }

fill() { give_mbox; }
