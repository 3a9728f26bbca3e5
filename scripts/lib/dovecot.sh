# Sourced by demo, e2e and bench: a real POP3 server on loopback for one script. It runs as the user
# who runs the script, in a folder of its own.
# shellcheck shell=bash

dovecot_pid=''
dovecot_dir=''

# need_dovecot records the packages that this file needs (see need in common.sh).
need_dovecot() {
	need /usr/sbin/dovecot dovecot-core "the POP3 server to fetch from"
	need /usr/lib/dovecot/pop3 dovecot-pop3d "its POP3 part"
	need openssl openssl "makes the server's certificate"
}

# dovecot_start starts the server in a folder of its own and sets dovecot_dir to it. It sets
# dovecot_ca, pop3_port (plain and STLS), pop3s_port, imaps_port and lmtp_port too. dovecot_user adds users. dovecot_stop
# ends the server and removes the folder.
dovecot_start() {
	dovecot_dir=$(mktemp -d)
	dovecot_ca=$dovecot_dir/ca.pem
	# Dovecot refuses to serve mail as root, so other users must be able to enter this folder.
	chmod 711 "$dovecot_dir"
	mkdir -m 711 "$dovecot_dir/home"
	: >"$dovecot_dir/passwd"
	: >"$dovecot_dir/log"
	dovecot_certificate
	local try
	for try in 1 2 3 4 5; do
		pop3_port=$((20000 + RANDOM % 10000))
		pop3s_port=$((pop3_port + 1)) imaps_port=$((pop3_port + 2)) lmtp_port=$((pop3_port + 3))
		dovecot_config >"$dovecot_dir/dovecot.conf"
		PATH=$PATH:/usr/sbin dovecot -F -c "$dovecot_dir/dovecot.conf" 2>"$dovecot_dir/stderr" &
		dovecot_pid=$!
		dovecot_wait && return 0
		dovecot_end
		say "Dovecot does not answer on port $pop3_port (attempt $try)"
	done
	cat "$dovecot_dir/stderr" "$dovecot_dir/log" >&2
	die "Dovecot does not start"
}

# dovecot_wait waits until the server greets. It fails if the server has ended or does not greet
# within ten seconds.
dovecot_wait() {
	local deadline=$((SECONDS + 10))
	while ((SECONDS < deadline)) && kill -0 "$dovecot_pid" 2>/dev/null; do
		dovecot_greets && return 0
		sleep 0.05
	done
	return 1
}

# dovecot_greets checks the greeting, because another program may have the port.
dovecot_greets() {
	local greeting=''
	{ exec 9<>"/dev/tcp/127.0.0.1/$pop3_port"; } 2>/dev/null || return 1
	read -r -t 2 greeting <&9 || true
	exec 9>&-
	[[ $greeting == '+OK popfetch test server'* ]]
}

# dovecot_stop ends the server, if it runs, and removes its folder.
dovecot_stop() {
	dovecot_end
	[[ -z $dovecot_dir ]] || rm -rf "$dovecot_dir"
	dovecot_dir=''
}

dovecot_end() {
	[[ -n $dovecot_pid ]] || return 0
	kill "$dovecot_pid" 2>/dev/null || true
	wait "$dovecot_pid" 2>/dev/null || true
	dovecot_pid=''
}

# dovecot_user NAME PASSWORD adds a user. The user's maildrop is the Maildir $dovecot_dir/home/NAME.
# The password is stored in clear text, because APOP needs it.
dovecot_user() {
	printf '%s:{PLAIN}%s\n' "$1" "$2" >>"$dovecot_dir/passwd"
	dovecot_empty "$1"
}

# dovecot_empty NAME empties the maildrop. The server also forgets the unique-ids.
dovecot_empty() {
	rm -rf "${dovecot_dir:?}/home/$1"
	mkdir -p "$dovecot_dir/home/$1"/{cur,new,tmp}
	dovecot_give "$1"
}

# dovecot_fill NAME FOLDER puts each file of FOLDER into the maildrop, with hard links if possible.
# The server lists the messages in the order of their file names.
dovecot_fill() {
	cp -al "$2/." "$dovecot_dir/home/$1/new" 2>/dev/null || cp -a "$2/." "$dovecot_dir/home/$1/new"
	dovecot_give "$1"
}

# dovecot_give NAME gives the user's files to the user as whom the server reads mail.
dovecot_give() { ((EUID != 0)) || chown -R nobody:nogroup "$dovecot_dir/home/$1"; }

# dovecot_left NAME prints how many messages are in the maildrop.
dovecot_left() { find "$dovecot_dir/home/$1"/{cur,new} -type f | wc -l; }

dovecot_certificate() {
	openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
		-subj '/CN=popfetch test server' -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
		-keyout "$dovecot_dir/key.pem" -out "$dovecot_ca" 2>/dev/null
}

# dovecot_config prints the configuration. It has only the differences from the defaults, and
# $dovecot_more, where the ports IMAPS and LMTP stand for $imaps_port and $lmtp_port.
dovecot_config() {
	local owner group
	owner=$(id -un) group=$(id -gn)
	((EUID != 0)) || { owner=nobody group=nogroup; }
	dovecot_config_users
	cat <<END
protocols = pop3
listen = 127.0.0.1
base_dir = $dovecot_dir/run
state_dir = $dovecot_dir/state
log_path = $dovecot_dir/log
login_greeting = popfetch test server
first_valid_uid = 1
ssl = yes
ssl_cert = <$dovecot_ca
ssl_key = <$dovecot_dir/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login apop
mail_max_userip_connections = 0
mail_location = maildir:~/
passdb {
  driver = passwd-file
  args = $dovecot_dir/passwd
}
userdb {
  driver = static
  args = uid=$owner gid=$group home=$dovecot_dir/home/%u
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    port = $pop3_port
  }
  inet_listener pop3s {
    port = $pop3s_port
    ssl = yes
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
$(sed -e "s/= IMAPS$/= $imaps_port/" -e "s/= LMTP$/= $lmtp_port/" <<<"${dovecot_more:-}")
END
}

# dovecot_config_users makes Dovecot's processes run as the caller. If the caller is root, this is
# true only for the authentication, which must be able to enter our folder. The log-in processes
# refuse to run as root, so they run as the users that the package has made.
dovecot_config_users() {
	local user
	user=$(id -un)
	printf 'service auth {\n  user = %s\n}\n' "$user"
	((EUID != 0)) || return 0
	printf '%s\n' "default_internal_user = $user" "default_internal_group = $(id -gn)" "default_login_user = $user"
}
