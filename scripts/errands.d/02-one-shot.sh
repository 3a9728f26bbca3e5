# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='One shot, without a configuration'
ahead='popfetch has the shortest commands: TLS, keeping the mail and remembering what was fetched need no options. fetchmail needs procmail for a Maildir.'

popfetch() {
	try_answering tanstaaf 'popfetch --once --server pop.example.org --user alice --maildir backup'
	try_answering tanstaaf 'popfetch --once --server pop.example.org --user alice --maildir backup'
	holds backup
}

mpop() {
	mpop_maildir backup
	local command='mpop --host=pop.example.org --tls=on --tls-starttls=off --user=alice --keep=on --delivery=maildir,backup'
	try_answering tanstaaf "$command"
	try_answering tanstaaf "$command"
	holds backup
}

fetchmail() {
	local command='fetchmail --protocol pop3 --ssl --uidl --keep --user alice --mda "procmail DEFAULT=backup/ MAILDIR=$HOME /dev/null" pop.example.org'
	try_answering tanstaaf "$command"
	try_answering tanstaaf "$command"
	holds backup
}

getmail() { note 'it does nothing without a configuration'; }

fdm() { note 'it does nothing without a configuration'; }
