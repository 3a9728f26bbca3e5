# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Monitoring'
ahead='popfetch and mpop are even: 0 whether or not mail came, and a status for each kind of fault, in one line. fetchmail ends with 1 when nothing is new, getmail with 127 for every fault, and fdm with 0 also if it could not log in. docs/monitoring.md shows what popfetch alone has: popfetch status --max-age, a file for Prometheus, and events in JSON.'

# watched COMMAND runs a command in four situations.
watched() {
	try_quietly "$1"
	note 'nothing new'
	try_quietly "$1"
	server_off
	note 'the server is down'
	try_quietly "$1"
	server_on
	as_alice "sed -i s/tanstaaf/tanstaf/ $2"
	note 'the password is wrong'
	try_quietly "$1"
	as_alice "sed -i s/tanstaf/tanstaaf/ $2"
}

popfetch() {
	as_before popfetch_config
	watched 'popfetch --once' .config/popfetch/config.toml
}

mpop() {
	as_before mpop_config mpop_maildir
	watched 'mpop --quiet' .mpoprc
}

fetchmail() {
	as_before fetchmail_config
	watched 'fetchmail --silent' .fetchmailrc
	note 'the password is right'
	try_quietly 'fetchmail --check'
}

getmail() {
	as_before getmail_config mpop_maildir
	watched 'getmail --quiet' .config/getmail/getmailrc
}

fdm() {
	as_before fdm_config
	watched 'fdm -q fetch' .fdm.conf
}
