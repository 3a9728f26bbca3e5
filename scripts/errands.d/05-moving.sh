# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Moving from another program'
ahead='popfetch has a command that recognises what is in the Maildir, whichever program has fetched it, and one that takes unique-ids. It moves six times here, with two commands each. For mpop and fetchmail their own files must be written by hand.'

# before CONFIG COMMAND PROGRAM lets another program fetch the maildrop. Then one new message comes.
before() {
	local try
	as_before "$1"
	for try in 1 2 3; do # getmail sometimes misses the end of a process and waits for it
		(($(new_in "$home/Maildir") == 12)) || as_alice "$2" >/dev/null 2>&1 </dev/null || true
	done
	(($(new_in "$home/Maildir") == 12)) || die "$3 has not fetched 12 messages"
	note "$3 has fetched 12 messages into ~/Maildir and left them on the server; one new message comes"
	server_gets 1
}

mpop_before() {
	mpop_config
	mpop_maildir
}

getmail_mda() {
	printf '%s\n' '[retriever]' 'type = SimplePOP3SSLRetriever' 'server = pop.example.org' 'username = alice' 'password = tanstaaf' 'timeout = 5' \
		'[destination]' 'type = MDA_external' 'path = /usr/bin/procmail' '[options]' 'read_all = false' 'delivered_to = false' 'received = false' |
		file '~/.config/getmail/getmailrc'
	procmail_config
}

popfetch() {
	before fetchmail_config 'fetchmail' fetchmail
	popfetch_config
	rebuilt
	start_day
	before mpop_before 'mpop' mpop
	as_before popfetch_config
	rebuilt
	start_day
	before getmail_mda 'getmail' getmail
	as_before popfetch_config
	rebuilt
	start_day
	by_ids fetchmail_config 'fetchmail' fetchmail 'sed -n "s/%/%25/g; s/^alice@pop.example.org //p" .fetchids'
	by_ids mpop_before 'mpop' mpop 'sed "/^[# ]/d; s/ .*//; s/%/%25/g" .mpop_uidls/alice_at_pop.example.org'
	by_ids getmail_mda 'getmail' getmail 'sed "s/\x0.*//; s/%/%25/g" .config/getmail/oldmail-pop.example.org-995-alice'
}

rebuilt() {
	try 'popfetch seen rebuild work'
	try 'popfetch --once'
	holds Maildir
}

# by_ids CONFIG COMMAND PROGRAM SED is like before, but the mail is not in a Maildir any more. Only
# the other program's file of unique-ids is left.
by_ids() {
	start_day
	before "$1" "$2" "$3"
	rm -rf "$home/Maildir"
	note 'the mail is stored elsewhere now'
	as_before popfetch_config
	try "$4 | xargs -rd '\\n' popfetch seen mark work --"
	try 'popfetch --once'
}

mpop() {
	before fetchmail_config 'fetchmail' fetchmail
	mpop_config
	try 'mkdir -p .mpop_uidls Maildir/tmp'
	try '(echo " $(wc -l <.fetchids) pop.example.org alice"; sed "s/.* //" .fetchids | LC_ALL=C sort) >.mpop_uidls/alice_at_pop.example.org'
	try 'mpop'
	holds Maildir
}

fetchmail() {
	before mpop_before 'mpop' mpop
	fetchmail_config
	try 'sed -n "/^[# ]/d; s/^/alice@pop.example.org /p" .mpop_uidls/alice_at_pop.example.org >.fetchids'
	try 'chmod 600 .fetchids'
	try 'fetchmail'
	holds Maildir
}
