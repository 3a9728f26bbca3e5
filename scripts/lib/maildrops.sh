# Sourced by bench: makes the maildrops of its cases, prepares each run, and checks its result.
# shellcheck shell=bash disable=SC2154,SC2034

# drop COUNT OCTETS fills alice's maildrop, and keeps the messages in $work/messages.
drop() {
	rm -rf "$work/messages"
	if (($2 <= 65536)); then
		make_messages "$work/messages" "$1" "$2"
	else
		make_large "$work/messages" "$1" "$2"
	fi
	fill
}

# drop_mixed fills the maildrop with 2,000 messages of 154 MB in total. As in real mail, most
# messages are small, and a few messages have most of the octets.
drop_mixed() {
	rm -rf "$work/messages"
	make_messages "$work/messages" 1600 8192
	make_large "$work/messages" 300 100000
	make_large "$work/messages" 95 1000000
	make_large "$work/messages" 5 3000000
	fill
}

fill() {
	sums "$work/messages" >"$work/sums"
	messages=$(wc -l <"$work/sums")
	refill
}

# refill restores the maildrop. It also makes Dovecot create its index, so that this is not
# measured.
refill() {
	dovecot_empty alice
	dovecot_fill alice "$work/messages"
	(($(dovecot_left alice) == messages)) || die "the maildrop does not have $messages messages"
	"$work/popfetch" check --server "127.0.0.1:$pop3_port" --tls none --user alice --password-command 'echo tanstaaf' --state-dir "$work/check" >/dev/null
}

# make_large FOLDER COUNT OCTETS writes messages with an attachment, like make_messages.
make_large() {
	mkdir -p "$1"
	local i name
	for ((i = 1; i <= $2; i++)); do
		{
			printf 'From: sender@example.org\nSubject: large message %d of %d octets\nContent-Transfer-Encoding: base64\n\n' "$i" "$3"
			head -c $(($3 * 57 / 77)) /dev/zero | openssl enc -aes-128-ctr -pass "pass:$i $3" -nosalt -pbkdf2 -iter 1 2>/dev/null | base64 -w 76
		} >"$1/message"
		name=$(wc -cl <"$1/message" | awk -v name="$3.$i" '{ printf "%s.made,S=%d,W=%d", name, $2, $1 + $2 }')
		mv "$1/message" "$1/$name"
	done
}

# anew removes the results of earlier runs.
anew() {
	rm -rf "$home"/{Maildir,mbox,state,uidls,ids,cache,oldmail-*}
	[[ $target != lmtp && $target != imap ]] || dovecot_empty bob
	mkdir -p "$home/Maildir"/{cur,new,tmp}
}

# anew_but_state is like anew, but there is an empty seen-table. Every run but a user's first one
# finds a seen-table.
anew_but_state() {
	anew
	configure "$1"
	[[ -z $(popfetch_of "$1") ]] || "$(popfetch_of "$1")" seen forget nobody --all --config "$home/config" >/dev/null 2>&1 || true
}

# meet PROGRAM runs popfetch once on the empty maildrop and keeps its state. Such a state has a
# seen-table and knows the server.
meet() {
	local program
	for program in $(contenders "$1"); do
		home=$place/met-$program
		rm -rf "$home"
		mkdir -p "$home"
		configure "$program"
		"start_$program"
		"${command[@]}"
	done
}

# anew_but_met is like anew, but the program knows the server, as in every run but a user's first
# one.
anew_but_met() {
	anew
	[[ -z $(popfetch_of "$1") ]] || cp -a "$place/met-$1/state" "$home"
}

# met_and_refill is like anew_but_met. It also restores the messages that a run has deleted.
met_and_refill() {
	anew_but_met "$1"
	refill
}

# all_came PROGRAM fails if the Maildir has other messages than $work/sums. For fetchmail, fdm and
# getmail it only counts them, because these programs change lines.
all_came() {
	case $1 in
	fetchmail | fdm | getmail) (($(new_in "$home/Maildir") == messages)) ;;
	*) sums "$home/Maildir" | cmp -s - "$work/sums" ;;
	esac || die "$1 did not deliver the server's messages"
}

# all_in_mbox PROGRAM fails if the mbox has not as many messages and octets as $work/messages. Each
# message has a From_ line and an empty line more, and quoted lines have one octet more.
all_in_mbox() {
	local got want
	got=$(sed -e '/^From /d' -e 's/^>\(>*From \)/\1/' "$home/mbox" | wc -c)
	want=$(cat "$work/messages"/* | wc -c)
	(($(grep -c '^From ' "$home/mbox") == messages && got == want + messages)) ||
		die "$1 did not deliver the server's messages"
}

# all_at_bob PROGRAM only counts messages, because LMTP adds header lines. The case imap delivers
# into a Maildir too.
all_at_bob() {
	if [[ $1 == maildir_popfetch ]]; then
		all_came "$1"
	else
		(($(dovecot_left bob) == messages)) || die "$1 did not deliver the server's messages"
	fi
}

all_came_and_left() {
	all_came "$1"
	(($(dovecot_left alice) == 0)) || die "$1 did not delete all messages"
}

# came_by_mda PROGRAM only counts messages, because procmail may quote lines.
came_by_mda() { (($(new_in "$home/Maildir") == messages)) || die "$1 did not deliver the server's messages"; }

nothing_came() { (($(new_in "$home/Maildir") == 0)) || die "$1 delivered messages that it had seen"; }

one_came() { (($(new_in "$home/Maildir") == 1)) || die "$1 did not deliver the one new message"; }

# remembered PROGRAM prepares a program that has seen the messages 1 to $seen of listserver and has
# run once since.
remembered() {
	[[ ! -e $home/seen.$seen ]] || return 0
	rm -rf "$home"
	mkdir -p "$home"
	anew
	configure "$1"
	"remember_$1" "$seen"
	local after=true before=true wrap=()
	run_once "$1" || die "$1 failed"
	rm -rf "$home.seen"
	cp -a "$home" "$home.seen"
	touch "$home/seen.$seen"
}

# remembered_again PROGRAM is like remembered, but it also undoes the changes of later runs.
remembered_again() {
	remembered "$1"
	rm -rf "$home"
	cp -a "$home.seen" "$home"
	# The first popfetch that opens a copied table checks it for damage. This is not to be measured.
	[[ -z $(popfetch_of "$1") ]] || "$(popfetch_of "$1")" seen list "$user" --config "$home/config" >/dev/null
	touch "$home/seen.$seen"
}

# helper_start COMMAND... starts a helper and sets port to the port that it listens on. The helper
# must print its address and end when its standard input ends.
helper_start() {
	local address
	exec {helper_in}> >(exec "$@" >"$work/helper")
	helper_pid=$!
	until [[ -s $work/helper ]]; do sleep 0.02; done
	read -r address <"$work/helper"
	port=${address##*:}
}

helper_stop() {
	[[ -n $helper_pid ]] || return 0
	exec {helper_in}>&-
	wait "$helper_pid" || true
	helper_pid=''
	rm -f "$work/helper"
}

# list_start FLAGS... starts a listserver. It always has the same port, because records belong to
# one server.
list_start() { helper_start "$work/listserver" -listen "127.0.0.1:$((pop3_port + 7))" "$@"; }

# line_start DELAY starts a delay line in front of Dovecot. It always has the same port too.
line_start() { helper_start "$work/delayline" -listen "127.0.0.1:$((pop3_port + 8))" -to "127.0.0.1:$pop3_port" -delay "$1"; }

# imap_line_start DELAY starts a delay line in front of Dovecot's IMAP, and sets imap_port to it.
imap_line_start() {
	exec {imap_in}> >(exec "$work/delayline" -listen "127.0.0.1:$((pop3_port + 9))" -to "127.0.0.1:$imaps_port" -delay "$1" >"$work/imapline")
	imap_line_pid=$!
	until [[ -s $work/imapline ]]; do sleep 0.02; done
	imap_port=$((pop3_port + 9))
}

imap_line_stop() {
	[[ -n $imap_line_pid ]] || return 0
	exec {imap_in}>&-
	wait "$imap_line_pid" || true
	imap_line_pid=''
	rm -f "$work/imapline"
}

# bare_procmail prints how long procmail alone takes for all messages, without any fetching.
bare_procmail() {
	local began
	home=$work/ram/bare
	anew
	began=$EPOCHREALTIME
	printf '%s\0' "$work/messages"/* | xargs -0 -n 1 sh -c "$(mda_command) <\"\$0\"" # sh forks much faster than bash
	awk "BEGIN { printf \"sh -c procmail alone, %d times: %.3g s\n\", $messages, $EPOCHREALTIME - $began }"
}

# The case accounts has the users user1, user2 and so on. All accounts are fetched in one run.

config_many_popfetch() {
	local user
	printf 'state_dir = "%s/state"\njobs = 50\n[defaults]\nserver = "127.0.0.1:%s"\ntls = "none"\npassword = "tanstaaf"\nauth = "plain"\n' "$home" "$port"
	for user in "${users[@]}"; do printf '[account.%s]\nuser = "%s"\nmaildir = "%s/Maildir/%s"\n' "$user" "$user" "$home" "$user"; done
}

start_many_popfetch() { start_popfetch; }

config_many_earlier() { config_many_popfetch; }

start_many_earlier() { start_earlier; }

config_many_mpop() {
	local user
	printf 'defaults\nhost 127.0.0.1\nport %s\npassword tanstaaf\nauth plain\nkeep on\nreceived_header off\ntls off\n' "$port"
	for user in "${users[@]}"; do printf 'account %s\nuser %s\nuidls_file %s/uidls.%s\ndelivery maildir %s/Maildir/%s\n' "$user" "$user" "$home" "$user" "$home" "$user"; done
}

start_many_mpop() {
	local user
	for user in "${users[@]}"; do mkdir -p "$home/Maildir/$user"/{cur,new,tmp}; done
	printf '%s\n' "${users[@]}" >"$home/users"
	command=(xargs -a "$home/users" -P 8 -n 1 mpop --file="$home/config" --quiet)
}

config_many_fdm() {
	local user
	chmod 711 "$place" "$home"
	mkdir -p "$home/cache"
	chmod -R 777 "$home/cache"
	printf 'set lock-file "%s/lock"\nset default-user "%s"\nset parallel-accounts 50\n' "$home" "$(id -un)"
	for user in "${users[@]}"; do
		printf 'account "%s" pop3 server "127.0.0.1" port %s user "%s" pass "tanstaaf" new-only cache "%s/cache/%s" keep\n' "$user" "$port" "$user" "$home" "$user"
	done
	for user in "${users[@]}"; do printf 'action "%s" maildir "%s/Maildir/%s"\nmatch account "%s" action "%s"\n' "$user" "$home" "$user" "$user" "$user"; done
}

start_many_fdm() { start_fdm; }

many_met() {
	rm -rf "$home"
	mkdir -p "$home/Maildir"
	[[ -z $(popfetch_of "$1") ]] || cp -a "$place/met-$1/state" "$home"
}

many_came() { (($(find "$home/Maildir" -type f | wc -l) == messages)) || die "$1 did not deliver the server's messages"; }
