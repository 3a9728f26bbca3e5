# Sourced by bench: runs programs in turn, checks what they delivered, and prints a row for each.
# shellcheck shell=bash disable=SC2154,SC2034

row='%-12s %-10s %8s %8s %8s %8s %9s %7s   %s\n'

homes=0            # folders on the disk
declare -A home_of # by where it would be, the one of them that a program has used last

# head_row prints what the columns are.
head_row() {
	# shellcheck disable=SC2059
	printf "$row" case program 'wall s' 'CPU s' 'server s' 'MiB' 'msgs/s' ratio 'all walls'
}

# measure CASE PROGRAM... runs the programs in turn, popfetch being the first of them, $rounds times each, and prints a row
# for each; the ratio is that of popfetch to the program, the median of the ratios of each round. A program that takes longer than
# $patience seconds runs once. These say what a run is:
#
#   before     called with the program's name before each run, home being set; begins anew by default
#   after      called likewise after it; checks that the Maildir holds the messages of $work/sums by default
#   wrap       what is put in front of the program
#   messages   how many are fetched
measure() {
	local case=$1 round program
	shift
	# shellcheck disable=SC2046
	set -- $(contenders "$@")
	local -A walls=() cpus=() servers=() memories=() ratios=()
	for ((round = 0; round < rounds; round++)); do
		local mine=''
		for program; do
			if ((round > 0)) && awk "BEGIN { exit !(${walls[$program]%% *} > $patience) }"; then
				continue
			fi
			run_once "$program" || die "$case: $program failed"
			[[ $mine ]] || mine=$wall
			walls[$program]+="$wall "
			cpus[$program]+="$cpu "
			servers[$program]+="$server "
			memories[$program]+="$memory "
			ratios[$program]+="$(awk "BEGIN { print $mine / $wall }") "
		done
	done
	for program; do
		local w
		w=$(median "${walls[$program]}")
		# shellcheck disable=SC2059
		printf "$row" "$case" "$program" "$w" "$(median "${cpus[$program]}")" "$(median "${servers[$program]}")" \
			"$(awk "BEGIN { printf \"%.1f\", $(median "${memories[$program]}") / 1024 }")" \
			"$(awk "BEGIN { printf \"%d\", $messages / $w }")" "$(median "${ratios[$program]}")" "${walls[$program]}"
		printf '%s\t%s\t%s\n' "$case" "$program" "$w" >>"$work/data"
	done
}

configure() { "config_$1" >"$home/config"; }

# run_once PROGRAM sets wall, cpu and server, the processor time of program and server, in seconds, and memory, in KiB at the peak. A
# run in which getmail waits in vain is made again.
run_once() {
	local tries=20
	until try_once "$1"; do
		tail -n 20 "$work/output" >&2
		if [[ $1 != getmail ]] || ((--tries == 0)) || ! grep -q 'waiting child pid .* timed out' "$work/output"; then
			return 1
		fi
		say "getmail missed the end of a process that delivers for it, and runs again"
	done
}

# try_once PROGRAM runs it, and fails where it does.
try_once() {
	local program=$1 status=0
	home=${home_of[$place/$program]:-$place/$program}
	mkdir -p "$home"
	"$before" "$program"
	configure "$program"
	sync -f "$home" # what was removed just now is not to be waited for
	"start_$program"
	local served_before began
	served_before=$(served)
	began=$EPOCHREALTIME # time knows hundredths of a second
	/usr/bin/time -o "$work/time" -f '%U %S %M' "${wrap[@]}" "${command[@]}" >"$work/output" 2>&1 || status=$?
	wall=$(awk "BEGIN { printf \"%.3f\", $EPOCHREALTIME - $began }")
	server=$(awk "BEGIN { printf \"%.2f\", $(served) - $served_before }")
	if ((status != 0)) && ! [[ $program == fetchmail && $status == 1 ]]; then # with 1 it says that there is no mail
		return 1
	fi
	read -r user_time system_time memory < <(tail -n 1 "$work/time")
	cpu=$(awk "BEGIN { printf \"%.2f\", $user_time + $system_time }")
	"$after" "$program"
}

# served prints the processor time that Dovecot, its processes, and what helper_start has started have taken so far, in seconds.
served() {
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v dovecot="$dovecot_pid" -v helper="${helper_pid:-none}" -v hertz="$(getconf CLK_TCK)" '
		{ pid = $1; sub(/^.*\) /, "") } # the name before it may hold blanks
		pid == dovecot || $2 == dovecot || pid == helper { ticks += $12 + $13 + $14 + $15 }
		END { print ticks / hertz }'
}

# median NUMBERS prints the median of the words of a text.
median() { tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -n | awk '{ v[NR] = $1 } END { printf "%.3g", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
