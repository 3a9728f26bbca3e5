# Sourced by bench: shows what the processors do while a program runs, by samples of all of them.
# shellcheck shell=bash disable=SC2154,SC2034

samples_a_second=1999

# profile_head PROGRAM... prints what the columns are.
profile_head() {
	printf '%-10s %-10s %-11s' case who what
	printf ' %9s' "$@"
	printf '\n'
}

# profile CASE PROGRAM... runs the programs in turn, $rounds times each, and prints for who had the processors, and for what, how many
# seconds of one run. The variables of measure say what a run is.
profile() {
	local case=$1 program round
	shift
	wrap=(perf record --quiet --all-cpus --event=cpu-clock --freq="$samples_a_second" --call-graph=fp "--output=$work/perf" --)
	rm -f "$work/samples"
	for ((round = 0; round < rounds; round++)); do
		for program; do
			run_once "$program" || die "$case: $program failed"
			perf script --input="$work/perf" --fields=comm,time,ip,sym 2>/dev/null | profile_samples "${program#many_}" >>"$work/samples"
		done
	done
	profile_rows "$case" "$@" <"$work/samples"
	wrap=()
}

# profile_samples PROGRAM makes lines "program who what seconds". What the kernel does for somebody goes by the system call that asked
# for it; what it does on somebody's time without being asked, as for the network, is its own.
profile_samples() {
	awk -v program="$1" -v second="$samples_a_second" '
		function who() {
			if (comm == "pop3" || comm == "pop3-login") return comm
			return comm == program ? "program" : "others"
		}
		function what() {
			if (who() == "others") return ""
			if (call) return call
			if (kernel) return "kernel"
			if (leaf ~ /sha256/) return "SHA-256"
			if (program == "popfetch" && leaf ~ /^(internal\/)?runtime/) return "Go runtime"
			if (program == "popfetch" && comm == program && leaf !~ /[.\/]|^(index|count|memeq|cmp)/) return "SQLite"
			return "itself"
		}
		NF == 0 { if (comm && comm != "swapper") ticks[who() "\t" what()]++; comm = ""; next }
		!comm { comm = $1; last = $2 + 0; if (!first) first = last; leaf = call = ""; kernel = 0; next }
		!leaf { leaf = $2; kernel = $1 ~ /^ffff/ }
		!call && match($2, /^(__x64_sys_|ksys_)/) { call = substr($2, RLENGTH + 1) }
		!call && $2 == "asm_exc_page_fault" { call = "page faults" }
		END {
			for (t in ticks) printf "%s\t%s\t%.4f\n", program, t, ticks[t] / second
			printf "%s\trun\t\t%.4f\n", program, last - first
		}'
}

# profile_rows CASE PROGRAM... prints who had a processor for how long, and what for, if it was more than a fiftieth of a second; and how
# long the run was.
profile_rows() {
	local case=$1
	shift
	awk -F '\t' -v case="$case" -v programs="${*//many_/}" -v rounds="$rounds" '
		function add(who, what, program, seconds) { spent[who "\t" what, program] += seconds; rows[who "\t" what] }
		function row(key, i) {
			split(key, part, "\t")
			printf "%-10s %-10s %-11s", case, part[1], part[2]
			for (i = 1; i <= n; i++) printf " %9.2f", spent[key, name[i]]
			print ""
		}
		BEGIN { n = split(programs, name, " ") }
		{
			took[$2 "\t" $3, $1] += $4 / rounds
			if (took[$2 "\t" $3, $1] >= 0.02) large[$2 "\t" $3]
			add($2, "all", $1, $4 / rounds)
		}
		END {
			for (key in took) {
				split(key, part, SUBSEP)
				split(part[1], of, "\t")
				if (of[2]) add(of[1], part[1] in large ? of[2] : "rest", part[2], took[key])
			}
			for (key in rows) row(key)
		}' | LC_ALL=C sort -k 2,2 -k 4,4rn
}
