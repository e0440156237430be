#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# demo.sh - the bus at work: an agent, four players, a live table, a page, a closing table.
set -uo pipefail

usage() {
	cat <<'EOF'
usage: ./dev demo [--seconds N] [--headless] [--bus NAME]

  --seconds N   how long: 4 to 3600 (default 20)
  --headless    no live table, only what happens and the closing table
  --bus NAME    the bus (default: one of its own)
EOF
}

refuse() {
	echo "demo: $*" >&2
	exit 2
}

bin=${1:?the folder of the programs}
shift
seconds=20
headless=
bus=demo-$$
while [[ $# -gt 0 ]]; do
	case $1 in
	--seconds | --bus)
		[[ $# -ge 2 ]] || refuse "$1 takes a value"
		if [[ $1 == --bus ]]; then bus=$2; else seconds=$2; fi
		shift
		;;
	--headless) headless=1 ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		echo "demo: there is no option $1" >&2
		usage >&2
		exit 2
		;;
	esac
	shift
done
if ! [[ $seconds =~ ^[1-9][0-9]{0,3}$ ]] || ((seconds < 4 || seconds > 3600)); then
	refuse "--seconds \"$seconds\" is not allowed: 4 to 3600"
fi
[[ $bus =~ ^[A-Za-z0-9_-]{1,31}$ ]] ||
	refuse "--bus \"$bus\" is not allowed: 1 to 31 of A-Z a-z 0-9 _ -"
# Another's agent would be shown, and its segments cleaned up.
compgen -G "/dev/shm/shmbus.$bus.*" >/dev/null && refuse "the bus \"$bus\" is in use: ls /dev/shm"
[[ -t 0 && -t 1 ]] || headless=1
export SHMBUS_BUS=$bus

for program in shmbus-agent shmbus-player shmbus-gateway shmbus; do
	"$bin/$program" --help >/dev/null || exit 1
done

log=
top=
# Whatever happens: no process, no segment and no file stays. The children are the shell's to
# name, for a signal may come between a start and the note of it. Each is told until it is gone,
# for one that is about to become its program does not hear; the shell's own word is not taken
# for that: it can miss a child's end where a trap runs.
clean_up() {
	local child left=1
	trap '' INT TERM HUP
	while [[ $left ]]; do
		left=
		for child in $(jobs -p); do
			kill "$child" && left=1
		done
		[[ ! $left ]] || sleep 0.05
	done
	"$bin/shmbus" doctor --clean >/dev/null
	[[ ! $log ]] || rm -f "$log"
} 2>/dev/null
at_exit() {
	clean_up
	if compgen -G "/dev/shm/shmbus.$bus.*" >&2; then
		echo "demo: these were left behind" >&2
		exit 1
	fi
}
trap at_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
log=$(mktemp) || exit 1

start() {
	"$@" 2>>"$log" &
}

# Waits; less long where the table is left with q. In the background, so that a signal is
# answered at once.
pause() {
	local sleeper
	sleep "$1" &
	sleeper=$!
	if [[ $top ]]; then
		wait -n "$sleeper" "$top"
	else
		wait "$sleeper"
	fi
	{ kill "$sleeper" && wait "$sleeper"; } 2>/dev/null
}

table_runs() { [[ ! $top ]] || kill -0 "$top" 2>/dev/null; }

state_of() { "$bin/shmbus" ls 2>/dev/null | awk -v id="$1" '$3 == id { print $1 }'; }
misses_of() { "$bin/shmbus" show "$1" 2>/dev/null | grep -oE 'missed [0-9]+' | grep -oE '[0-9]+'; }

# Narrower than shmbus ls, and with the misses.
closing_table() {
	local format='%-9s%-10s%9s%9s%8s%8s\n' state id uptime samples drops
	# shellcheck disable=SC2059 # it is constant
	printf "$format" STATE PLAYER UPTIME SAMPLES DROPS MISSES
	"$bin/shmbus" ls | awk 'NR > 1 { print $1, $3, $5, $9, $10 }' |
		while read -r state id uptime samples drops; do
			# shellcheck disable=SC2059
			printf "$format" "$state" "$id" "$uptime" "$samples" "$drops" "$(misses_of "$id")"
		done
}

echo "demo: bus $bus, $seconds s: an agent and four players; one of them works longer than it has"
echo "demo: time, and one will be killed half-way"
start "$bin/shmbus-agent" --interval 250ms
agent=$!
start "$bin/shmbus-gateway" --listen 127.0.0.1:0
start "$bin/shmbus-player" --quiet --id studio
start "$bin/shmbus-player" --quiet --id stage --quantum 256
start "$bin/shmbus-player" --quiet --id overload --overload 130 --overload-every 4
start "$bin/shmbus-player" --quiet --id victim
victim=$!

for ((i = 0; i < 50; i++)); do
	url=$(grep -oE 'http://[0-9.:]+/' "$log") && break
	pause 0.1
done
echo "demo: the same as a page in a browser: ${url:-the gateway did not start}"
if [[ ! $headless ]]; then
	for ((i = 0; i < 50; i++)); do
		[[ $(state_of victim) ]] && break
		pause 0.1
	done
	# Only with a standard input of its own would it be the script's job.
	"$bin/shmbus" top <&0 &
	top=$!
fi
half=$((seconds / 2))
pause "$half"
[[ $headless ]] && echo "demo: after $half s: SIGKILL for the player \"victim\""
{ kill -KILL "$victim" && wait "$victim"; } 2>/dev/null
table_runs && pause $((seconds - half))
if [[ $top ]]; then
	{ kill "$top"; wait "$top"; } 2>/dev/null
	top=
fi

# What must have come by now may take its time on a busy machine.
for ((i = 0; i < 100; i++)); do
	state=$(state_of victim)
	misses=$(misses_of overload)
	[[ $state == lost && ${misses:-0} -gt 0 ]] && break
	kill -0 "$agent" 2>/dev/null || break
	pause 0.1
done
if [[ $headless ]]; then
	"$bin/shmbus" top --once
	echo
fi
closing_table
echo
echo "demo: victim: ${state:-not there}; overload: ${misses:-no} missed deadlines"
if [[ $state != lost || ${misses:-0} -eq 0 ]]; then
	echo "demo: expected a lost victim and missed deadlines" >&2
	cat "$log" >&2
	exit 1
fi
