# Sourced by bench: popfetch and its neighbours, all configured for the same work. For a program P,
# config_P prints its configuration, and start_P sets command to the command that runs it. These
# variables differ from case to case:
#
#   home    the folder with its configuration, its state, and its Maildir, home/Maildir
#   port    the server's port
#   user    alice, whose password is tanstaaf
#   auth    plain or user
#   tls     none, or starttls, which trusts dovecot_ca
#   mda     procmail, which delivers into that Maildir; or ""
#   target  maildir, which is that Maildir; mbox, which is home/mbox; lmtp or imap, which deliver to
#           bob at Dovecot
#   remove  never or delivered
#   extra   more lines for popfetch's configuration
# shellcheck shell=bash disable=SC2154,SC2034

mda_command() { echo "procmail DEFAULT=$home/Maildir/ /dev/null"; }

config_popfetch() {
	cat <<END
state_dir = "$home/state"

[account.$user]
server = "127.0.0.1:$port"
tls = "$tls"
user = "$user"
password = "tanstaaf"
auth = "$auth"
delete = "$remove"
END
	[[ $tls == none ]] || printf 'tls_server_name = "localhost"\ntls_ca = "%s"\n' "$dovecot_ca"
	if [[ $mda ]]; then
		printf "mda = '%s'\n" "$(mda_command)"
	else
		target_popfetch
	fi
	printf '%s\n' "$extra"
}

target_popfetch() {
	case $target in
	maildir) printf 'maildir = "%s"\n' "$home/Maildir" ;;
	mbox) printf 'mbox = "%s"\n' "$home/mbox" ;;
	lmtp) printf 'lmtp = "127.0.0.1:%s"\nrcpt = ["bob"]\n' "$lmtp_port" ;;
	imap)
		printf 'imap = "imaps://bob@localhost:%s/INBOX"\nimap_tls_ca = "%s"\n' "$imap_port" "$dovecot_ca"
		printf 'imap_password_command = "echo tanstaaf"\n'
		;;
	esac
}

# The case imap compares with a Maildir at the same distance.
config_maildir_popfetch() { target=maildir config_popfetch; }

start_maildir_popfetch() { start_popfetch; }

# The case route compares with a popfetch that has a rule for each message, and two targets.
config_routed_popfetch() {
	config_popfetch
	cat <<END
[[account.$user.route]]
header = "Subject"
match = "^message [0-9]*[13579] of"
deliver = "odd"
[target.odd]
maildir = "$home/Maildir/.odd"
END
}

start_routed_popfetch() {
	mkdir -p "$home/Maildir/.odd"/{cur,new,tmp}
	start_popfetch
}

config_earlier() { config_popfetch; }

# popfetch_of PROGRAM prints the path of the popfetch that it runs, or nothing for a neighbour.
popfetch_of() {
	case $1 in
	popfetch | *_popfetch) echo "$work/popfetch" ;;
	earlier | many_earlier) echo "$work/earlier" ;;
	esac
}

# contenders PROGRAM... prints the programs to measure. With an earlier popfetch, these are only
# popfetch and the earlier one.
contenders() {
	[[ -z $earlier ]] || set -- "$1" "${1/popfetch/earlier}"
	echo "$@"
}

start_popfetch() { command=("$work/popfetch" --config "$home/config" --once --quiet); }

start_earlier() { command=("$work/earlier" --config "$home/config" --once --quiet); }

config_mpop() {
	cat <<END
account default
host 127.0.0.1
port $port
user $user
password tanstaaf
auth $auth
keep $([[ $remove == never ]] && echo on || echo off)
received_header off
uidls_file $home/uidls
tls $([[ $tls == none ]] && echo off || echo on)
END
	[[ $tls == none ]] || printf 'tls_starttls on\ntls_trust_file %s\ntls_host_override localhost\n' "$dovecot_ca"
	if [[ $mda ]]; then
		echo "delivery mda $(mda_command)"
	elif [[ $target == mbox ]]; then
		echo "delivery mbox $home/mbox"
	else
		echo "delivery maildir $home/Maildir"
	fi
}

start_mpop() { command=(mpop --file="$home/config" --quiet); }

# fetchmail cannot write a Maildir. People who want one let procmail write it.
config_fetchmail() {
	cat <<END
poll 127.0.0.1 service $port protocol pop3 uidl timeout 60
  user "$user" password "tanstaaf" $([[ $remove == never ]] && echo keep || echo nokeep) sslproto ''
  $(target_fetchmail)
END
}

target_fetchmail() {
	if [[ $target == lmtp ]]; then
		echo "lmtp smtphost \"127.0.0.1/$lmtp_port\" smtpname \"bob@localhost\""
	else
		echo "mda \"$(mda_command)\""
	fi
}

start_fetchmail() {
	command=(fetchmail --fetchmailrc "$home/config" --idfile "$home/ids" --pidfile "$home/pid" --nosyslog --silent)
}

# If root runs fdm, it fetches as another user, who must have access to the cache.
config_fdm() {
	chmod 711 "$place" "$home"
	mkdir -p "$home/cache"
	chmod -R 777 "$home/cache"
	cat <<END
set lock-file "$home/lock"
set maximum-size 1G
set default-user "$(id -un)"
action "keep" $([[ $mda ]] && echo "pipe \"$(mda_command)\"" || echo "maildir \"$home/Maildir\"")
account "$user" pop3 server "127.0.0.1" port $port user "$user" pass "tanstaaf" new-only cache "$home/cache/$user" $([[ $remove == never ]] && echo keep)
match all action "keep"
END
}

start_fdm() { command=(env HOME="$home" fdm -q -f "$home/config" fetch); }

# getmail starts a process for each message. If this process ends too quickly, getmail misses its
# end and waits for it in vain. This is frequent if getmail writes the Maildir itself, and rare with
# procmail. The timeout for its sockets also limits this wait.
config_getmail() {
	cat <<END
[retriever]
type = SimplePOP3Retriever
server = 127.0.0.1
port = $port
username = $user
password = tanstaaf
timeout = 5
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "$(mda_command)")
allow_root_commands = true
[options]
read_all = false
delete = $([[ $remove == never ]] && echo false || echo true)
delivered_to = false
received = false
END
}

# getmail's temporary files contain procmail's output.
start_getmail() { command=(env TMPDIR="$home" getmail --getmaildir="$home" --rcfile="$home/config" --quiet); }

# remember_PROGRAM COUNT makes the program's record of the messages 1 to COUNT of listserver.
remember_popfetch() { remember_by "$work/popfetch"; }

remember_earlier() { remember_by "$work/earlier"; }

remember_by() { "$1" seen mark --all "$user" --config "$home/config" >/dev/null; }

remember_mpop() {
	{
		printf ' %d 127.0.0.1 %s\n' "$1" "$user"
		ids "$1"
	} >"$home/uidls"
}

remember_fetchmail() { ids "$1" | sed "s/^/$user@127.0.0.1 /" >"$home/ids"; }

remember_fdm() { ids "$1" | sed 's/^/16 /' >"$home/cache/$user" && chmod 666 "$home/cache/$user"; }

remember_getmail() { ids "$1" | sed "s/\$/\\x00$EPOCHSECONDS/" >"$home/oldmail-127.0.0.1-$port-$user"; }

# ids COUNT prints the unique-ids of listserver.
ids() { awk -v n="$1" 'BEGIN { for (i = 1; i <= n; i++) printf "%08x5f3a1c2b\n", i }'; }
