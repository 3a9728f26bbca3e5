# Sourced by errands: a machine of its own, with the user alice and the server pop.example.org, and
# commands that write down what alice types and sees. The script runs in namespaces of its own.
# shellcheck shell=bash disable=SC2154,SC2034,SC2088

home=/home/alice
mail_octets=600

# lay_desk makes the machine. alice has the number 1000, whoever else has it outside.
lay_desk() {
	ip link set lo up
	hostname desk
	mount -t tmpfs -o mode=755 none /home
	mount -t tmpfs -o mode=755 none /usr/local/bin
	mount -t tmpfs -o mode=755 none /etc/ssl/certs
	mount -t tmpfs -o mode=1777 none /var/mail
	install -m 755 "$errands_inside/popfetch" /usr/local/bin/popfetch
	{ grep -v -e '^alice:' -e '^[^:]*:[^:]*:1000:' /etc/passwd && echo "alice:x:1000:1000:Alice:$home:/bin/sh"; } >"$work/passwd"
	{ grep -v -e '^alice:' -e '^[^:]*:[^:]*:1000:' /etc/group && echo 'alice:x:1000:'; } >"$work/group"
	printf '127.0.0.1 localhost desk pop.example.org\n127.0.0.2 pop.example.net\n' >"$work/hosts"
	sed 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf >"$work/nsswitch.conf"
	local file
	for file in passwd group hosts nsswitch.conf; do
		chmod 644 "$work/$file"
		mount --bind "$work/$file" "/etc/$file"
	done
	make_certificate good pop.example.org
	make_certificate own pop.example.net
	cp "$work/good.pem" /etc/ssl/certs/ca-certificates.crt
	cp "$work/good.pem" "/etc/ssl/certs/$(openssl x509 -noout -hash -in "$work/good.pem").0"
	dovecot_more=$(server_settings)
	dovecot_start
	dovecot_user alice tanstaaf
	make_messages "$work/mail" 12 "$mail_octets"
	mkdir "$work/came"
	mkfifo "$work/keys"
	exec 7<>"$work/keys"
}

make_certificate() {
	openssl req -x509 -nodes -days 90 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj "/CN=$2" \
		-addext "subjectAltName=DNS:$2" -keyout "$work/$1.key" -out "$work/$1.pem" 2>/dev/null
}

# server_settings prints what pop.example.org and pop.example.net need beyond dovecot_config.
server_settings() {
	cat <<-END
		listen = 127.0.0.1, 127.0.0.2
		ssl_cert = <$work/good.pem
		ssl_key = <$work/good.key
		login_greeting = popfetch test server
		auth_failure_delay = 0
		local 127.0.0.2 {
		  ssl_cert = <$work/own.pem
		  ssl_key = <$work/own.key
		}
		service pop3-login {
		  inet_listener clear {
		    port = 110
		  }
		  inet_listener tls {
		    port = 995
		    ssl = yes
		  }
		}
	END
}

# start_day empties alice's home and refills the maildrop.
start_day() {
	mountpoint -q "$home/Maildir" && umount "$home/Maildir"
	rm -rf "$home" /var/mail/alice
	install -d -o 1000 -g 1000 -m 700 "$home"
	server_on
	dovecot_empty alice
	dovecot_fill alice "$work/mail"
}

# server_off stops the server, and server_on starts it again on the same ports.
server_off() { dovecot_end; }

server_on() {
	[[ -z $dovecot_pid ]] || return 0
	PATH=$PATH:/usr/sbin dovecot -F -c "$dovecot_dir/dovecot.conf" 2>"$dovecot_dir/stderr" &
	dovecot_pid=$!
	dovecot_wait || die "Dovecot does not start again"
}

# server_gets COUNT adds new messages to the maildrop.
server_gets() {
	local i
	mkdir -p "$work/more" "$work/came"
	for ((i = 1; i <= $1; i++)); do
		printf 'From: bob@example.org\nTo: alice@example.net\nSubject: new %s\nMessage-ID: <%s.new@example.org>\nDate: Tue, 31 Mar 2026 09:00:00 +0000\n\nHello\n' \
			"$i" "$EPOCHREALTIME" >"$work/more/$EPOCHREALTIME.$i"
	done
	dovecot_fill alice "$work/more"
	mv "$work/more"/* "$work/came"
}

# note writes down what happened meanwhile.
note() { printf '# %s\n' "$*" >>"$transcript"; }

# file NAME [MODE] writes a file of alice from standard input, and shows it.
file() {
	local name=$home/${1#\~/}
	as_alice "mkdir -p '${name%/*}' && umask 077 && cat >'$name' && chmod ${2:-600} '$name'"
	{
		printf '%s:\n' "$1"
		sed 's/^/  | /' "$name"
	} >>"$transcript"
	configured=$((configured + $(grep -cv -e '^[[:space:]]*$' "$name")))
}

# as_alice COMMAND runs a shell command in alice's home, for 200 seconds at most.
as_alice() {
	setpriv --reuid 1000 --regid 1000 --clear-groups env -i HOME="$home" USER=alice LOGNAME=alice TZ=UTC \
		PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 TERM=xterm SHELL=/bin/sh timeout --foreground 200 sh -c "cd; $1"
}

# on_terminal COMMAND is like as_alice, but on a terminal of 100 columns. It reads keys from the
# descriptor 7.
on_terminal() {
	as_alice "SHELL=/bin/sh exec script -qefc 'stty cols 100 rows 40 2>/dev/null; $(quoted "$1")' /dev/null" <&7
}

# quoted escapes single quotes, for a command between single quotes.
quoted() { printf '%s' "${1//\'/\'\\\'\'}"; }

# try COMMAND types a command on a terminal and shows what it prints.
try() { took on_terminal "$1" "$1"; }

# try_for SECONDS COMMAND is like try, but alice loses patience and presses Ctrl-C.
try_for() { took on_terminal "$2" "timeout --foreground -s INT --preserve-status $1 $2 && exit 0; s=\$?; [ \$s -ge 128 ] && echo ^C; exit \$s"; }

# try_until COUNT FOLDER COMMAND is like try, but alice presses Ctrl-C as soon as a Maildir holds so
# many messages.
try_until() {
	rm -f "$home/.pid"
	interrupt_at "$1" "$home/$2/new" &
	local watching=$!
	took on_terminal "$3" "echo \$\$ >.pid; exec $3"
	kill "$watching" 2>/dev/null || true
	wait "$watching" || true
	rm -f "$home/.pid"
}

interrupt_at() {
	until (($(find "$2" -type f 2>/dev/null | wc -l) >= $1)); do sleep 0.005; done
	kill -INT "$(cat "$home/.pid")"
}

# try_answering KEYS COMMAND is like try. When the command asks for a password, it types KEYS.
try_answering() {
	answer "$1" &
	local answering=$!
	took on_terminal "$2" "$2"
	kill "$answering" 2>/dev/null || true
	wait "$answering" || true
}

answer() {
	until grep -qi 'password' "$work/screen"; do sleep 0.1; done
	sleep 0.3
	printf '%s\n' "$1" >&7
}

# try_quietly COMMAND runs a command without a terminal, as cron and scripts do.
try_quietly() { took as_alice "$1" "$1" </dev/null; }

# took RUN SHOWN COMMAND runs a command by RUN and adds it to the transcript.
took() {
	local status=0
	: >"$work/screen"
	printf '$ %s\n' "$2" >>"$transcript"
	[[ $began ]] || began=$EPOCHREALTIME
	"$1" "$3" >"$work/screen" 2>&1 || status=$?
	see_first_mail
	show_screen
	((status == 0)) || printf '=> exit status %d\n' "$status" >>"$transcript"
	commands=$((commands + 1))
}

# see_first_mail sets first to the seconds from the first command to the first message in a Maildir. A
# file gets a new time of change when it is renamed into new.
see_first_mail() {
	[[ $first == - ]] || return 0
	first=$(find "$home" -path '*/new/*' -type f -newermt "@$began" -printf '%C@\n' |
		awk 'NR == 1 || $1 < at { at = $1 } END { if (NR) printf "%.2f", at - '"$began"'; else printf "-" }')
}

# show_screen adds what a command printed. Of more than 16 lines it shows the first and last six.
show_screen() {
	sed -i -e 's/\r//g' -e 's/\x1b\[[0-9;]*[A-Za-z]//g' "$work/screen"
	local lines
	lines=$(wc -l <"$work/screen")
	printed=$((printed + lines))
	if ((lines > 16)); then
		{ head -n 6 "$work/screen" && printf '... (%d lines in all)\n' "$lines" && tail -n 6 "$work/screen"; } >>"$transcript"
	else
		cat "$work/screen" >>"$transcript"
		[[ -z $(tail -c 1 "$work/screen") ]] || echo >>"$transcript"
	fi
}

# begin COMMAND starts a command that stays, without a terminal. finish SIGNAL ends it, and shows what it printed.
begin() {
	printf '$ %s\n' "$1" >>"$transcript"
	commands=$((commands + 1))
	[[ $began ]] || began=$EPOCHREALTIME
	: >"$work/screen"
	rm -f "$home/.pid"
	as_alice "echo \$\$ >.pid; exec $1" >"$work/screen" 2>&1 </dev/null &
	resident=$!
	until [[ -s $home/.pid ]]; do sleep 0.05; done
}

finish() {
	local status=0
	kill "-$1" "$(cat "$home/.pid")"
	wait "$resident" || status=$?
	see_first_mail
	sed -i '/^Terminated$/d' "$work/screen" # this shell says so of the command
	show_screen
	printf '=> exit status %d, after SIG%s\n' "$status" "$1" >>"$transcript"
	rm -f "$home/.pid"
}

# waits_for COUNT FOLDER waits up to 30 seconds until a Maildir holds so many messages.
waits_for() {
	local deadline=$((SECONDS + 30))
	until (($(new_in "$home/$2") >= $1)) || ((SECONDS > deadline)); do sleep 0.2; done
}

# holds FOLDER... notes how many messages the Maildirs have, compared with the server's.
holds() {
	local all distinct same listed folder
	listed=$(dovecot_left alice)
	for folder; do
		all=$(new_in "$home/$folder")
		distinct=$({ find "$home/$folder"/{new,cur} -type f -exec grep -a -m 1 -h -i '^Message-ID:' {} + 2>/dev/null || true; } | sort -u | wc -l)
		[[ -d $home/$folder ]] || { note "there is no ~/$folder; the server lists $listed" && continue; }
		same=$(comm -12 <(sums "$home/$folder"/{new,cur} | sort -u) <(sums "$dovecot_dir/home/alice"/{new,cur} "$work/mail" "$work/came" | sort -u) | wc -l)
		note "~/$folder holds $all messages, $((all - distinct)) of them twice, $same as on the server to the octet; the server lists $listed"
	done
}
