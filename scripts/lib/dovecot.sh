# Sourced by demo, e2e and bench: a real POP3 server on loopback that belongs to
# the script alone. It runs as whoever runs the script, in a folder of its own.
# shellcheck shell=bash

dovecot_pid=''
dovecot_dir=''

# need_dovecot notes what this file uses (see need in common.sh).
need_dovecot() {
	need /usr/sbin/dovecot dovecot-core "the POP3 server to fetch from"
	need /usr/lib/dovecot/pop3 dovecot-pop3d "its POP3 part"
	need openssl openssl "makes the server's certificate"
}

# dovecot_start starts the server in a folder of its own, dovecot_dir. Users are
# added by dovecot_user. It sets dovecot_ca, pop3_port (plain and STLS) and
# pop3s_port. End it by dovecot_stop, which removes the folder too.
dovecot_start() {
	dovecot_dir=$(mktemp -d)
	dovecot_ca=$dovecot_dir/ca.pem
	# Dovecot serves no mail as root, so others must get through this folder.
	chmod 711 "$dovecot_dir"
	mkdir -m 711 "$dovecot_dir/home"
	: >"$dovecot_dir/passwd"
	: >"$dovecot_dir/log"
	dovecot_certificate
	local try
	for try in 1 2 3 4 5; do
		pop3_port=$((20000 + RANDOM % 10000))
		pop3s_port=$((pop3_port + 1))
		dovecot_config >"$dovecot_dir/dovecot.conf"
		PATH=$PATH:/usr/sbin dovecot -F -c "$dovecot_dir/dovecot.conf" 2>"$dovecot_dir/stderr" &
		dovecot_pid=$!
		dovecot_wait && return 0
		dovecot_end
		say "Dovecot does not greet on port $pop3_port (attempt $try)"
	done
	cat "$dovecot_dir/stderr" "$dovecot_dir/log" >&2
	die "Dovecot does not start"
}

# dovecot_wait returns once the server greets, and fails when it has ended or
# does not greet within ten seconds.
dovecot_wait() {
	local deadline=$((SECONDS + 10))
	while ((SECONDS < deadline)) && kill -0 "$dovecot_pid" 2>/dev/null; do
		dovecot_greets && return 0
		sleep 0.05
	done
	return 1
}

# dovecot_greets looks at the greeting, for another program may have that port.
dovecot_greets() {
	local greeting=''
	{ exec 9<>"/dev/tcp/127.0.0.1/$pop3_port"; } 2>/dev/null || return 1
	read -r -t 2 greeting <&9 || true
	exec 9>&-
	[[ $greeting == '+OK popfetch test server'* ]]
}

# dovecot_stop ends the server, if there is one, and removes its folder.
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

# dovecot_user NAME PASSWORD adds a user, whose maildrop is the Maildir
# $dovecot_dir/home/NAME. The password is kept in clear, as APOP wants it.
dovecot_user() {
	printf '%s:{PLAIN}%s\n' "$1" "$2" >>"$dovecot_dir/passwd"
	dovecot_empty "$1"
}

# dovecot_empty NAME makes the maildrop empty, and forgets its unique-ids.
dovecot_empty() {
	rm -rf "${dovecot_dir:?}/home/$1"
	mkdir -p "$dovecot_dir/home/$1"/{cur,new,tmp}
	dovecot_give "$1"
}

# dovecot_fill NAME FOLDER puts each file of FOLDER into the maildrop, by links
# where possible. The server lists them in the order of their names.
dovecot_fill() {
	cp -al "$2/." "$dovecot_dir/home/$1/new" 2>/dev/null || cp -a "$2/." "$dovecot_dir/home/$1/new"
	dovecot_give "$1"
}

# dovecot_give makes the user's files those of whom the server reads mail as.
dovecot_give() { ((EUID != 0)) || chown -R nobody:nogroup "$dovecot_dir/home/$1"; }

# dovecot_left NAME prints how many messages are in the maildrop.
dovecot_left() { find "$dovecot_dir/home/$1"/{cur,new} -type f | wc -l; }

dovecot_certificate() {
	openssl req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
		-subj '/CN=popfetch test server' -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
		-keyout "$dovecot_dir/key.pem" -out "$dovecot_ca" 2>/dev/null
}

# dovecot_config prints the configuration: only what differs from the defaults, and $dovecot_more.
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
${dovecot_more:-}
END
}

# dovecot_config_users lets all run as whoever calls. For root that is only the
# authentication, which must get into our folder: the log-in processes refuse to
# be root, and take the users that the package has made.
dovecot_config_users() {
	local user
	user=$(id -un)
	printf 'service auth {\n  user = %s\n}\n' "$user"
	((EUID != 0)) || return 0
	printf '%s\n' "default_internal_user = $user" "default_internal_group = $(id -gn)" "default_login_user = $user"
}
