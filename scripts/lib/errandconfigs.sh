# Sourced by errands: the configurations that most errands begin with. Each takes more lines for the
# account as arguments.
# shellcheck shell=bash disable=SC2016,SC2034,SC2088

popfetch_config() {
	printf '%s\n' '[account.work]' 'server   = "pop.example.org"' 'user     = "alice"' \
		'password = "tanstaaf"' 'maildir  = "~/Maildir"' "$@" | file '~/.config/popfetch/config.toml'
}

mpop_config() {
	printf '%s\n' 'account default' 'host pop.example.org' 'tls on' 'tls_starttls off' 'user alice' \
		'password tanstaaf' 'keep on' 'delivery maildir ~/Maildir' "$@" | file '~/.mpoprc'
}

# mpop delivers only into folders that are there.
mpop_maildir() { try "mkdir -p ${1:-Maildir}/tmp ${1:-Maildir}/new ${1:-Maildir}/cur"; }

fetchmail_config() {
	{
		printf '%s\n' 'poll pop.example.org protocol pop3 uidl' '  user "alice" password "tanstaaf" ssl keep' \
			'  mda "procmail -t"'
		(($# == 0)) || printf '  %s\n' "$@"
	} | file '~/.fetchmailrc'
	procmail_config
}

# getmail_config [LINE...] takes more lines for its section [options].
getmail_config() {
	printf '%s\n' '[retriever]' 'type = SimplePOP3SSLRetriever' 'server = pop.example.org' \
		'ca_certs = /etc/ssl/certs/ca-certificates.crt' 'username = alice' 'password = tanstaaf' \
		'[destination]' 'type = Maildir' 'path = ~/Maildir/' '[options]' 'read_all = false' "$@" |
		file '~/.config/getmail/getmailrc'
}

fdm_config() {
	printf '%s\n' 'set verify-certificates' 'action "in" maildir "%h/Maildir"' \
		'account "work" pop3s server "pop.example.org"' '  user "alice" pass "tanstaaf"' \
		"  new-only cache \"%h/.fdm.cache\"${1:- keep}" 'match all action "in"' | file '~/.fdm.conf'
}

# as_before CONFIG... makes a configuration that errand 1 has shown.
as_before() {
	local transcript=/dev/null commands=0 configured=0 printed=0 config
	for config; do "$config"; done
}

procmail_config() { printf '%s\n' 'DEFAULT=$HOME/Maildir/' 'ORGMAIL=$DEFAULT' | file '~/.procmailrc'; }
