# Sourced by bench: counts a program's syncs and its waits for the server, from its system calls.
# shellcheck shell=bash disable=SC2154,SC2034

trace_row='%-12s %-10s %8s %8s %10s %8s %8s\n'

# trace_head prints the headings of the columns.
trace_head() {
	# shellcheck disable=SC2059
	printf "$trace_row" case program messages fsync fdatasync syncfs turns
}

# trace CASE PROGRAM... runs each program once and prints a row for it. The variables of measure
# define a run. half_trip is the delay of the delay line in seconds. A shorter wait is no turn,
# because the data was already on its way.
trace() {
	local case=$1 program counts calls='connect,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,?poll,ppoll,?select,pselect6'
	shift
	wrap=(strace -ff --seccomp-bpf -y -s 0 -e abbrev=none -ttt -T -o "$work/trace/of" -e signal=none -e "trace=$calls,fsync,fdatasync,syncfs")
	for program; do
		run_once "$program" || die "$case: $program failed"
		read -ra counts < <(trace_counts)
		((counts[3])) || die "$case: the trace of $program shows no turn, but there must be some for the log-in"
		# shellcheck disable=SC2059
		printf "$trace_row" "$case" "$program" "$messages" "${counts[@]}"
	done
	wrap=()
}

# trace_anew PROGRAM removes the trace of the run before. The program then seems to have run before,
# but never to have seen a message.
trace_anew() {
	trace_forget
	anew_but_state "$1"
}

trace_anew_and_refill() {
	trace_anew "$1"
	refill
}

trace_forget() {
	rm -rf "$work/trace"
	mkdir "$work/trace"
}

# trace_counts prints the number of successful calls of fsync, fdatasync and syncfs, and the turns.
trace_counts() {
	find "$work/trace" -type f -exec cat {} + | trace_events | LC_ALL=C sort -s -k 1,1n | trace_turns
}

# trace_events prints lines "time event socket", and lines for the syncs that succeeded. The events
# are:
#
#   is      the socket is connected to the server
#   sent    a write started
#   wants   a call that may wait for data started
#   got     such a call ended with data
trace_events() {
	awk -v server="sin_port=htons($port)" '
		function socket() { return match($0, /socket:\[[0-9]+\]/) ? substr($0, RSTART, RLENGTH) : "" }
		{
			began = $1
			call = substr($2, 1, index($2, "(") - 1)
			if (!match($0, /\) += -?[0-9]+/)) next
			result = substr($0, RSTART, RLENGTH)
			sub(/.* /, "", result)
			took = substr($NF, 2) + 0
		}
		call ~ /sync/ { if (result == 0) print began, call; next }
		socket() == "" { next }
		call == "connect" { if (index($0, server)) print began, "is", socket(); next }
		call ~ /^(write|send)/ { if (result > 0) print began, "sent", socket(); next }
		{ print began, "wants", socket() }
		call ~ /^(read|recv)/ && result > 0 { printf "%.6f got %s\n", began + took, socket() }'
}

# trace_turns counts the turns. A wait begins with the first call that wants data, or with the last
# write after it. If the program has sent nothing since the turn before, the wait is no turn: the
# server is slow. A program that asks late for data waits less, or not at all.
trace_turns() {
	awk -v half="$half_trip" '
		$2 == "is" { server[$3] = 1 }
		$2 ~ /sync/ { syncs[$2]++ }
		!($3 in server) { next }
		$2 == "sent" { sent[$3] = 1; if (since[$3]) since[$3] = $1 }
		$2 == "wants" && !since[$3] { since[$3] = $1 }
		$2 == "got" {
			if (sent[$3] && since[$3] && $1 - since[$3] >= half) { turns++; sent[$3] = 0 }
			since[$3] = 0
		}
		END { print syncs["fsync"] + 0, syncs["fdatasync"] + 0, syncs["syncfs"] + 0, turns + 0 }'
}
