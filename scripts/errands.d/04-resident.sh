# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Staying resident'
ahead='popfetch prints least: an outage is told when it begins and when it ends. fetchmail stays as easily, and tells of each poll; --silent would change that. mpop, getmail and fdm do not stay, so a loop of the shell runs them.'

# stays COMMAND lets a command stay, as a service does, while mail comes, and while the server is away for a while.
stays() {
	begin "$1"
	waits_for 12 Maildir
	server_gets 2
	note 'two new messages come'
	waits_for 14 Maildir
	server_off
	note 'the server is down for seven seconds'
	sleep 7
	server_on
	server_gets 1
	note 'the server is back, with one new message'
	waits_for 15 Maildir
	finish TERM
	holds Maildir
}

popfetch() {
	popfetch_config 'interval = "3s"'
	stays 'popfetch'
}

mpop() {
	as_before mpop_config mpop_maildir
	stays 'sh -c "while mpop --quiet; sleep 3; do :; done"'
}

fetchmail() {
	as_before fetchmail_config
	stays 'fetchmail --nodetach --daemon 3'
}

getmail() {
	as_before getmail_config mpop_maildir
	stays 'sh -c "while sleep 3; do getmail --quiet; done"'
}

fdm() {
	as_before fdm_config
	stays 'sh -c "while sleep 3; do fdm -q fetch; done"'
}
