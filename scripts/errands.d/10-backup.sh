# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='A backup of a maildrop'
ahead='popfetch has the fewest lines. Its backup has the octets of the server, and list tells of each message whether the backup has it. The others change the header, and counting is all they offer. docs/backup.md shows how to put a backup back.'

popfetch() {
	local account='--server pop.example.org --user alice --password-file password --maildir backup'
	file password <<<tanstaaf
	try "popfetch --once $account"
	server_gets 1
	note 'a day later, with one new message'
	try "popfetch --once $account"
	try "popfetch list $account | cut -f 5 | sort | uniq -c"
	holds backup
}

mpop() {
	local account='--host=pop.example.org --tls=on --tls-starttls=off --user=alice --passwordeval="cat password" --keep=on --delivery=maildir,backup'
	file password <<<tanstaaf
	mpop_maildir backup
	try "mpop $account"
	server_gets 1
	note 'a day later, with one new message'
	try "mpop $account"
	try 'ls backup/new | wc -l'
	holds backup
}

fetchmail() {
	fetchmail_config
	try 'fetchmail'
	server_gets 1
	note 'a day later, with one new message'
	try 'fetchmail'
	try 'ls Maildir/new | wc -l'
	holds Maildir
}

getmail() {
	getmail_config
	mpop_maildir
	try 'getmail'
	server_gets 1
	note 'a day later, with one new message'
	try 'getmail'
	try 'ls Maildir/new | wc -l'
	holds Maildir
}

fdm() {
	fdm_config
	try 'fdm fetch'
	server_gets 1
	note 'a day later, with one new message'
	try 'fdm fetch'
	try 'ls Maildir/new | wc -l'
	holds Maildir
}
