#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# demo.sh - the bus at work: an agent, four players, a live table, a closing table.
set -uo pipefail

usage() {
	cat <<'EOF'
usage: ./dev demo [--seconds N] [--headless] [--bus NAME]

  --seconds N   how long: 4 to 3600 (default 20)
  --headless    no live table, only what happens and the closing table
  --bus NAME    the bus (default: one of its own)
EOF
}

bin=${1:?the folder of the programs}
shift
seconds=20
headless=
bus=demo-$$
while [[ $# -gt 0 ]]; do
	case $1 in
	--seconds)
		seconds=${2:-}
		shift
		;;
	--bus)
		bus=${2:-}
		shift
		;;
	--headless) headless=1 ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift || break
done
if ! [[ $seconds =~ ^[0-9]+$ ]] || ((seconds < 4 || seconds > 3600)); then
	echo "demo: --seconds $seconds is not allowed: 4 to 3600" >&2
	exit 2
fi
[[ -t 0 && -t 1 ]] || headless=1
export SHMBUS_BUS=$bus

log=$(mktemp)
pids=()
# Whatever happens: no process, no segment and no file stays.
clean_up() {
	trap - EXIT INT TERM
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null
	wait 2>/dev/null
	"$bin/shmbus" doctor --clean >/dev/null 2>&1
	rm -f "$log"
	if compgen -G "/dev/shm/shmbus.$bus.*" >/dev/null; then
		echo "demo: left behind: $(compgen -G "/dev/shm/shmbus.$bus.*")" >&2
		exit 1
	fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

start() {
	"$@" 2>>"$log" &
	pids+=($!)
}

"$bin/shmbus-agent" --help >/dev/null && "$bin/shmbus-player" --help >/dev/null &&
	"$bin/shmbus" --help >/dev/null || exit 1

echo "demo: bus $bus, $seconds seconds: an agent and four players"
start "$bin/shmbus-agent" --interval 250ms
start "$bin/shmbus-player" --quiet --id studio
start "$bin/shmbus-player" --quiet --id stage --quantum 256
start "$bin/shmbus-player" --quiet --id overload --overload 130 --overload-every 4
start "$bin/shmbus-player" --quiet --id victim
victim=${pids[-1]}
disown "$victim" # its death is no news

half=$((seconds / 2))
if [[ $headless ]]; then
	sleep "$half"
	echo "demo: after $half s: SIGKILL for the player \"victim\""
	kill -KILL "$victim"
	sleep $((seconds - half))
else
	(
		sleep "$half"
		kill -KILL "$victim"
	) &
	pids+=($!)
	"$bin/shmbus" top -n "$seconds" -d 1
fi

snapshot=$("$bin/shmbus" snapshot --compact) || {
	cat "$log" >&2
	exit 1
}
"$bin/shmbus" top --once
echo
"$bin/shmbus" ls

# In the compact document each session's state and misses follow its id.
part() { grep -o "\"id\":\"$1\".*" <<<"$snapshot" | sed 's/"age_ns".*//'; }
state=$(part victim | grep -o '"state":"[a-z]*"' | head -n 1)
misses=$(part overload | grep -o '"misses":[0-9]*' | head -n 1 | cut -d : -f 2)
echo
echo "demo: victim: ${state#*:}; overload: ${misses:-no} missed deadlines"
if [[ $state != '"state":"lost"' || ${misses:-0} -eq 0 ]]; then
	echo "demo: expected a lost victim and missed deadlines" >&2
	cat "$log" >&2
	exit 1
fi
