# Sourced by bench: shows what all processors do while a program runs. perf takes samples of them.
# shellcheck shell=bash disable=SC2154,SC2034

samples_a_second=1999

# profile_head PROGRAM... prints the headings of the columns.
profile_head() {
	printf '%-10s %-10s %-11s' case who what
	printf ' %9s' "$@"
	printf '\n'
}

# profile CASE PROGRAM... runs the programs in turn, $rounds times each. It prints which program
# used the processors, and for what, in seconds for one run. Time without a sample counts as idle,
# because many samples of an idle processor are missing. The variables of measure define a run.
profile() {
	local case=$1 program round
	shift
	wrap=(perf record --quiet --all-cpus --event=cpu-clock --freq="$samples_a_second" --call-graph=fp "--output=$work/perf" --)
	rm -f "$work/samples"
	for ((round = 0; round < rounds; round++)); do
		for program; do
			run_once "$program" || die "$case: $program failed"
			perf script --input="$work/perf" --fields=comm,time,ip,sym >"$work/stacks" 2>"$work/output" || die "$case: $(<"$work/output")"
			profile_samples "${program#many_}" <"$work/stacks" >>"$work/samples"
		done
	done
	profile_rows "$case" "$@" <"$work/samples"
	wrap=()
}

# profile_samples PROGRAM prints lines "program who what seconds". If a processor is in the kernel,
# the time counts for the system call, or for a page fault. A system call includes the way through
# loopback to the other side. "interrupt" is all other time in the kernel.
profile_samples() {
	awk -v program="$1" -v rate="$samples_a_second" -v processors="$(nproc)" '
		function who() {
			if (comm == "pop3" || comm == "pop3-login") return comm
			return comm == program ? "program" : "others"
		}
		function what() {
			if (who() == "others") return ""
			if (call) return call
			if (kernel) return "interrupt"
			if (comm != "popfetch") return "itself"
			if (leaf ~ /sha256/) return "SHA-256"
			if (leaf ~ /^(internal\/)?runtime|^gcWriteBarrier|^aeshash/) return "Go runtime"
			if (leaf ~ /[.\/[]|^vdso|^(index|indexbyte|count|memeq|cmp)body$/) return "itself"
			return "C library" # mostly SQLite
		}
		NF == 0 { if (comm && comm != "swapper") { ticks[who() "\t" what()]++; busy++ } comm = ""; next }
		!comm { comm = $1; last = $NF + 0; if (!first) first = last; leaf = call = ""; kernel = 0; next }
		!leaf { leaf = $2; kernel = $1 ~ /^ffff/ }
		!call && match($2, /^(__[a-z0-9]+_sys_|ksys_)/) { call = substr($2, RLENGTH + 1) }
		!call && $2 == "asm_exc_page_fault" { call = "page fault" }
		END {
			for (t in ticks) printf "%s\t%s\t%.4f\n", program, t, ticks[t] / rate
			printf "%s\tidle\t\t%.4f\n", program, processors * (last - first) - busy / rate
			printf "%s\trun\t\t%.4f\n", program, last - first
		}'
}

# profile_rows CASE PROGRAM... prints rows for each program or server. The first row is all its
# time. The other rows are the uses that took 0.02 s or more, and the rest.
profile_rows() {
	local case=$1
	shift
	awk -F '\t' -v programs="${*//many_/}" -v rounds="$rounds" '
		function add(row, program, seconds) { rows[row]; spent[row, program] += seconds }
		BEGIN { n = split(programs, name, " ") }
		{
			add($2 "\tall", $1, $4 / rounds)
			if ($3) took[$2 "\t" $3, $1] += $4 / rounds
		}
		END {
			for (key in took) if (took[key] >= 0.02) { split(key, part, SUBSEP); large[part[1]] }
			for (key in took) {
				split(key, part, SUBSEP)
				row = part[1]
				if (!(row in large)) sub(/\t.*/, "\trest", row)
				add(row, part[2], took[key])
			}
			for (row in rows) {
				printf "%s", row
				for (i = 1; i <= n; i++) printf "\t%.2f", spent[row, name[i]]
				print ""
			}
		}' | LC_ALL=C sort -t $'\t' -k 1,1 -k 3,3rn |
		awk -F '\t' -v of="$case" '{ printf "%-10s %-10s %-11s", of, $1, $2; for (i = 3; i <= NF; i++) printf " %9s", $i; print "" }'
}
