# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Deleting on the server'
ahead='popfetch, mpop and getmail need one command, and popfetch prints least of them. Only popfetch can show before what would go, by --dry-run. popfetch and getmail can delete some time after the delivery, popfetch with delete = "30d". fetchmail needs --flush besides --nokeep. fdm deletes nothing that it has fetched before.'

fetched_before() {
	note '12 messages were fetched yesterday and kept; one new message has come'
	server_gets 1
}

left() { note "the server lists $(dovecot_left alice)"; }

popfetch() {
	as_before popfetch_config
	as_alice 'popfetch --once'
	fetched_before
	try 'popfetch --once --delete'
	left
	holds Maildir
}

mpop() {
	as_before mpop_config mpop_maildir
	as_alice 'mpop --quiet'
	fetched_before
	try 'mpop --keep=off'
	left
	holds Maildir
}

fetchmail() {
	as_before fetchmail_config
	as_alice 'fetchmail --silent'
	fetched_before
	try 'fetchmail --nokeep'
	left
	try 'fetchmail --nokeep --flush'
	left
	holds Maildir
}

getmail() {
	as_before getmail_config mpop_maildir
	as_alice 'getmail --quiet'
	fetched_before
	try 'getmail --delete'
	left
	holds Maildir
}

fdm() {
	as_before fdm_config
	as_alice 'fdm -q fetch'
	fetched_before
	note 'what was fetched before is never deleted; from now on, new messages are'
	try "sed -i 's/ keep$//' .fdm.conf"
	try 'fdm fetch'
	left
	holds Maildir
}
