# shellcheck shell=bash disable=SC2016,SC2034,SC2088,SC2154
title='A full disk, and a broken MDA'
ahead='All go on by themselves as soon as the disk or the MDA is mended, and nothing is lost or comes twice. mpop and fdm print least, because they stop at the first refusal. popfetch tries further messages, as only one of them may be at fault, but not with a program that is missing. It alone says how much room is missing.'

# trouble COMMAND CONFIG FILE MDA lets a command meet a full disk, then an MDA that is missing, and then
# one that refuses every message. MDA is the line of the configuration that names the MDA, with %s for it.
trouble() {
	as_before "$2"
	small_disk
	try "$1"
	holds Maildir
	rm "$home/Maildir/other"
	mount -o remount,size=10m "$home/Maildir"
	note 'the disk has room again'
	try "$1"
	holds Maildir
	start_day
	as_before "$2" procmail_config
	has_mda "$3" "$4" 'procmial'
	try "$1"
	has_mda "$3" "$4" 'exit 1'
	try "$1"
	note 'four passes later'
	for _ in 1 2 3 4; do as_alice "$1" >/dev/null 2>&1 || true; done
	try "$1"
	note 'the MDA is mended'
	has_mda "$3" "$4" 'procmail'
	try "$1"
	holds Maildir
}

# small_disk puts the Maildir on a disk that has room for a few small messages.
small_disk() {
	mkdir "$home/Maildir"
	mount -t tmpfs -o size=64k,mode=700,uid=1000,gid=1000 none "$home/Maildir"
	as_alice 'mkdir -p Maildir/tmp Maildir/new Maildir/cur; head -c 45000 /dev/zero >Maildir/other'
	note '~/Maildir is on a disk that has room for a few small messages'
}

# has_mda FILE LINE MDA has a configuration deliver by an MDA. getmail runs no shell, and so needs a path.
has_mda() {
	local line
	# shellcheck disable=SC2059
	line=$(printf "$2" "$3")
	case $1 in
	*getmailrc)
		line="path = /usr/bin/$3"
		[[ $3 != 'exit 1' ]] || line='path = /bin/false'
		sed -i -e "s|^path = .*|$line|; s/^type = Maildir/type = MDA_external/" "$home/$1"
		;;
	.fdm.conf) sed -i "s|^action.*|$line|" "$home/$1" ;;
	*)
		sed -i -e '/^  mda/d' -e '/^mda/d' -e '/^maildir/d' -e '/^delivery/d' "$home/$1"
		if [[ $1 == .mpoprc ]]; then
			sed -i "/^keep/a $line" "$home/$1"
		else
			printf '%s\n' "$line" >>"$home/$1"
		fi
		;;
	esac
	note "~/$1 has ${line#  }"
}

popfetch() { trouble 'popfetch --once' popfetch_config .config/popfetch/config.toml 'mda = "%s"'; }

mpop() { trouble 'mpop --quiet' mpop_config .mpoprc 'delivery mda %s'; }

fetchmail() { trouble 'fetchmail --silent' fetchmail_config .fetchmailrc '  mda "%s"'; }

getmail() { trouble 'getmail --quiet' getmail_config .config/getmail/getmailrc ''; }

fdm() { trouble 'fdm -q fetch' fdm_config .fdm.conf 'action "in" pipe "%s"'; }
