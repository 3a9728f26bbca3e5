# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Every five minutes, from cron'
ahead='popfetch: an outage makes one mail, not one every five minutes, and the crontab line needs no options beside --once. fetchmail needs the shell to hide that it ends with 1 when nothing is new. The others send a mail every five minutes.'

# minutes COMMAND runs a command as cron does. cron sends a mail if it prints anything.
minutes() {
	try_quietly "$1"
	server_gets 1
	note 'five minutes later, with one new message'
	try_quietly "$1"
	server_off
	note 'the server is down for a quarter of an hour'
	try_quietly "$1"
	try_quietly "$1"
	try_quietly "$1"
	server_on
	note 'the server is back'
	try_quietly "$1"
	holds Maildir
}

popfetch() {
	as_before popfetch_config
	file crontab <<<'*/5 * * * * popfetch --once'
	minutes 'popfetch --once'
}

mpop() {
	as_before mpop_config mpop_maildir
	file crontab <<<'*/5 * * * * mpop --quiet'
	minutes 'mpop --quiet'
}

fetchmail() {
	as_before fetchmail_config
	file crontab <<<'*/5 * * * * fetchmail --silent || [ $? -eq 1 ]'
	minutes 'fetchmail --silent || [ $? -eq 1 ]'
}

getmail() {
	as_before getmail_config mpop_maildir
	file crontab <<<'*/5 * * * * getmail --quiet'
	minutes 'getmail --quiet'
}

fdm() {
	as_before fdm_config
	file crontab <<<'*/5 * * * * fdm -q fetch'
	minutes 'fdm -q fetch'
}
