# Sourced by bench: runs programs in turn, checks what they delivered, and prints a row for each.
# shellcheck shell=bash disable=SC2154,SC2034

row='%-12s %-10s %8s %8s %8s %8s %9s %7s   %s\n'

homes=0            # number of folders on the disk
declare -A home_of # the folder that a program has used last, by its default path

# head_row prints the headings of the columns.
head_row() {
	# shellcheck disable=SC2059
	printf "$row" case program 'wall s' 'CPU s' 'server s' 'MiB' 'msgs/s' ratio 'all walls'
}

# measure CASE PROGRAM... runs the programs in turn, $rounds times each, and prints a row for each
# program. The first program is popfetch. In each round, the ratio is popfetch's time divided by the
# program's. The row has the median of these ratios. A program that takes longer than $patience
# seconds runs once. These variables define a run:
#
#   before     the function called with the program's name before each run; home is set;
#              default: anew
#   after      the function called likewise after each run; default: checks that the Maildir has
#              the messages of $work/sums
#   wrap       the command line in front of the program
#   messages   the number of messages to fetch
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

# run_once PROGRAM runs a program and sets wall, cpu, server and memory. cpu and server are the
# processor times of the program and the server. Times are in seconds. memory is the peak in KiB. If
# getmail waits in vain, the run is repeated.
run_once() {
	local tries=20
	until try_once "$1"; do
		tail -n 20 "$work/output" >&2
		if [[ $1 != getmail ]] || ((--tries == 0)) || ! grep -q 'waiting child pid .* timed out' "$work/output"; then
			return 1
		fi
		say "getmail missed the end of its delivery process; it runs again"
	done
}

# try_once PROGRAM runs a program once. It fails if the program fails.
try_once() {
	local program=$1 status=0
	home=${home_of[$place/$program]:-$place/$program}
	mkdir -p "$home"
	"$before" "$program"
	configure "$program"
	sync -f "$home" # so that the run does not wait for files that were just removed
	"start_$program"
	local served_before began
	served_before=$(served)
	began=$EPOCHREALTIME # EPOCHREALTIME is exact; the program time only knows 10 ms
	/usr/bin/time -o "$work/time" -f '%U %S %M' "${wrap[@]}" "${command[@]}" >"$work/output" 2>&1 || status=$?
	wall=$(awk "BEGIN { printf \"%.3f\", $EPOCHREALTIME - $began }")
	server=$(awk "BEGIN { printf \"%.2f\", $(served) - $served_before }")
	if ((status != 0)) && ! [[ $program == fetchmail && $status == 1 ]]; then # fetchmail's status 1 means that there is no mail
		return 1
	fi
	read -r user_time system_time memory < <(tail -n 1 "$work/time")
	cpu=$(awk "BEGIN { printf \"%.2f\", $user_time + $system_time }")
	"$after" "$program"
}

# served prints the processor time in seconds that the servers have used so far. These are Dovecot
# with its processes, and the helper of helper_start.
served() {
	{ cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v dovecot="$dovecot_pid" -v helper="${helper_pid:-none}" -v hertz="$(getconf CLK_TCK)" '
		{ pid = $1; sub(/^.*\) /, "") } # the name before it may contain blanks
		pid == dovecot || $2 == dovecot || pid == helper { ticks += $12 + $13 + $14 + $15 }
		END { print ticks / hertz }'
}

# median NUMBERS prints the median of numbers that are separated by blanks.
median() { tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -n | awk '{ v[NR] = $1 } END { printf "%.3g", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
