# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='Moving from another program'
ahead='popfetch takes over the configuration and what was fetched, by one command for each of the others. It moves four times here; fdm goes on as its MDA, which takes a line in its file. For mpop, fetchmail, getmail and fdm the configuration and the list of unique-ids must be written by hand.'

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
	moves fetchmail_config 'fetchmail' fetchmail
	moves mpop_before 'mpop' mpop
	moves getmail_mda 'getmail' getmail
	start_day
	before fdm_config 'fdm fetch' fdm
	try 'popfetch import fdm --apply'
	try "sed -i '/^match/i account \"stdin\" disabled stdin' .fdm.conf"
	try 'popfetch --once'
	holds Maildir
}

# moves CONFIG COMMAND PROGRAM takes over what another program has, and fetches what is new.
moves() {
	start_day
	before "$@"
	try "popfetch import $3 --apply"
	try 'popfetch --once'
	holds Maildir
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

getmail() {
	before fetchmail_config 'fetchmail' fetchmail
	getmail_config
	try 'mkdir -p Maildir/tmp'
	try 'sed "s/.* //; s,/,-,g; s/\$/ $(date +%s)/" .fetchids | tr " " "\\0" >.config/getmail/oldmail-pop.example.org-995-alice'
	try 'getmail'
	holds Maildir
}

fdm() {
	before fetchmail_config 'fetchmail' fetchmail
	fdm_config
	try 'sed "s/.* //" .fetchids | LC_ALL=C sort | awk "{ print length(\$0), \$0 }" >.fdm.cache'
	try 'fdm fetch'
	holds Maildir
}
