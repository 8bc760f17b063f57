#!/usr/bin/env bash
# Our client beside dnsperf, on a Knot DNS server of its own: `benches/dns.sh [--rounds 5] [WINDOW...]`.
#
# Both clients ask for the same 300 names over and over, for a second in each round, with windows of 1, 16, 100 and 1000
# queries; they take turns in who is first. The server has one UDP worker on core 0, the clients run on core 1. Compared
# is what either process takes of the processor, user and system, from its start to its end, for each query that was
# answered. Ratios are those of a round: median (quartiles).
#
# Ours has at most 64 queries on the wire, whatever the window: the others wait inside. It asks up to five times, and
# compares the question of each answer; dnsperf asks once and compares the id.
#
# Needs cargo, two cores and the Debian packages knot and dnsperf, which it installs if they are missing: that takes
# root or password-less sudo, the rest no privileges. It takes a minute. Fails if ours loses a query or takes a wrong
# answer; a ratio below its goal is only marked, as other work on the machine moves ratios by more than 5 %.
set -euo pipefail

rounds=5
windows=()
while [ $# != 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set/ { /^#/ s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --rounds)
        rounds=${2:?--rounds takes a number}
        shift
        ;;
    *) windows+=("$1") ;;
    esac
    shift
done
[ ${#windows[@]} != 0 ] || windows=(1 16 100 1000)
for number in "$rounds" "${windows[@]}"; do
    [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || { echo "dns.sh: $number is no number of rounds, and no window" >&2; exit 2; }
done

SERVER_CORE=0
CLIENT_CORE=1
NAMES=300

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Where Debian has knotd; not in the path of every user.
PATH=$PATH:/usr/sbin
work=$(mktemp -d)
server=
stop() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT
# With a handler, bash lets the client in the foreground end first.
trap 'exit 130' INT
trap 'exit 143' TERM
die() {
    echo "dns.sh: $1" >&2
    exit 1
}

install() {
    local package missing=() sudo=()
    for package in knot dnsperf; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} != 0 ] || return 0
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    # Lists of several hours ago name packages that the archive no longer has.
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mmin -180 2>/dev/null | head -n 1)" ] ||
        ${sudo[@]+"${sudo[@]}"} apt-get update -qq
    ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}" >"$work/apt" 2>&1 || die "$(cat "$work/apt")"
    # The package starts a server of its own, which nobody has asked for.
    if [[ " ${missing[*]} " == *" knot "* && -d /run/systemd/system ]]; then
        ${sudo[@]+"${sudo[@]}"} systemctl --quiet disable --now knot
    fi
}

# One that no socket of this host has, and that the kernel gives to none by default.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 10000))
        # Files of IPv6 are not on every host.
        { cat /proc/net/{udp,tcp}{,6} 2>/dev/null || true; } |
            awk -v port="$(printf ':%04X$' "$port")" '$2 ~ port { taken = 1 } END { exit taken }' || continue
        echo "$port"
        return
    done
    die "no free port"
}

# A server for dns.test, with everything that it writes below the folder; sets server, its process, and port.
start() {
    port=$(free_port)
    cat >"$work/knot.conf" <<CONF
server:
    rundir: "$work"
    listen: 127.0.0.1@$port
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "$work"
log:
  - target: stderr
    any: warning
zone:
  - domain: dns.test
    storage: "$work"
    file: zone
CONF
    {
        echo "@ 3600 SOA ns admin 1 3600 600 86400 60"
        echo "@ 3600 NS ns"
        echo "ns 3600 A 192.0.2.1"
        for ((n = 0; n < NAMES; n++)); do echo "host$n 3600 A 192.0.2.$((n % 250 + 2))"; done
    } >"$work/zone"
    for ((n = 0; n < NAMES; n++)); do echo "host$n.dns.test A"; done >"$work/queries"
    taskset -c "$SERVER_CORE" knotd -c "$work/knot.conf" >"$work/log" 2>&1 &
    server=$!
    # It listens when it has read the zone.
    for _ in {1..100}; do
        kill -0 "$server" 2>/dev/null || die "knotd has ended: $(cat "$work/log")"
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            # Each name once, so that no round is about errors.
            "$client" --server "127.0.0.1:$port" --queries "$NAMES" "$work/queries" >"$work/first" 2>&1 &&
                grep -q "^answered $NAMES lost 0 " "$work/first" ||
                die "knotd does not answer: $(cat "$work/first" "$work/log")"
            return
        fi
        sleep 0.1
    done
    die "knotd does not listen: $(cat "$work/log")"
}

# Runs a command on the client's core; its output is in $work/output, and its processor time, user and system, in cpu.
timed() {
    local TIMEFORMAT='%3U %3S'
    { time taskset -c "$CLIENT_CORE" "$@" >"$work/output" 2>"$work/errors"; } 2>"$work/time" ||
        die "$1: $(cat "$work/output" "$work/errors")"
    cpu=$(awk '{ print $1 + $2 }' "$work/time")
}

# figure NAME: the number behind a name in a client's output.
figure() {
    sed -n "s/^\(.* \)\{0,1\}$1:\{0,1\} *\([0-9.]*\).*/\2/p" "$work/output" | grep -m 1 . ||
        die "no '$1' in: $(cat "$work/output")"
}

# Both add a line for the table: window, round, whose, answered, processor time, rate, lost, asked again.
run_dnsperf() {
    local answered rate lost
    # It spins on the processor until what it has lost has timed out, by default for 4 s after the end. An opening burst
    # of 1000 loses some 800 in the server's receive buffer. After 1 s that times out at the end, without another burst.
    timed dnsperf -s 127.0.0.1 -p "$port" -d "$work/queries" -T 1 -c 1 -q "$1" -l 1 -t 1
    grep -q 'Response codes: *NOERROR [0-9]* (100.00%)$' "$work/output" || die "errors: $(cat "$work/output")"
    asked=$(figure 'Queries sent')
    answered=$(figure 'Queries completed')
    rate=$(figure 'Queries per second')
    lost=$(figure 'Queries lost')
    echo "$1 $2 dnsperf $answered $cpu $rate $lost 0" >>"$work/runs"
}

# As many queries as dnsperf has asked the last time.
run_ours() {
    local answered rate lost again
    timed "$client" --server "127.0.0.1:$port" --window "$1" --queries "$asked" "$work/queries"
    answered=$(figure answered)
    rate=$(figure per-second)
    lost=$(figure lost)
    again=$(figure retransmissions)
    echo "$1 $2 ours $answered $cpu $rate $lost $again" >>"$work/runs"
}

table() {
    awk '
    # Sorts what all rounds of the window gave into v[1] to v[n].
    function sort_values(of, r, j, x) {
        n = 0
        for (r = 1; r <= rounds; r++) {
            x = figure[of, r]
            for (j = n++; j > 0 && v[j] > x; j--) v[j + 1] = v[j]
            v[j + 1] = x
        }
    }
    function quartile(number) { return v[int((n - 1) * number / 4) + 1] }
    function median(of) { sort_values(of); return quartile(2) }
    # The line of a window.
    function finish(r, goal, ratio, verdict) {
        for (r = 1; r <= rounds; r++) figure["ratio", r] = figure["ours", r] / figure["dnsperf", r]
        goal = window <= 16 ? 1.05 : window <= 100 ? 1.0 : 1.1
        verdict = median("ratio") < goal ? " below" : ""
        ratio = sprintf("%.3f (%.3f..%.3f)", quartile(2), quartile(1), quartile(3))
        printf row, window, thousands("ours"), thousands("dnsperf"), ratio, sprintf("%.2f%s", goal, verdict),
            thousands("ours in all"), thousands("dnsperf in all"), lost["ours"], lost["dnsperf"], again
    }
    function thousands(of) { return sprintf("%.1f", median(of) / 1e3) }
    BEGIN {
        row = "%6s  %8s %8s  %-21s  %-10s  %8s %8s  %6s %8s  %s\n"
        print "thousands of queries answered in a second of the processor, and in all; lost; sent again"
        printf row, "window", "ours", "dnsperf", "ratio", "goal", "ours", "dnsperf", "ours", "dnsperf", "ours"
    }
    $1 != window {
        if (window) finish()
        window = $1
        again = lost["ours"] = lost["dnsperf"] = 0
    }
    {
        rounds = $2
        figure[$3, $2] = $4 / $5
        figure[$3 " in all", $2] = $6
        lost[$3] += $7
        again += $8
        if ($3 == "ours") lost_by_us += $7
    }
    END {
        finish()
        exit lost_by_us > 0
    }' "$work/runs"
}

for core in "$SERVER_CORE" "$CLIENT_CORE"; do
    taskset -c "$core" true 2>/dev/null || die "this process may not run on core $core; both 0 and 1 are needed"
done
install
client=$("${CARGO:-cargo}" bench --quiet --features std --bench dns --no-run --message-format=json |
    sed -n 's/.*"name":"dns".*"executable":"\([^"]*\)".*/\1/p')
[ -x "$client" ] || die "cargo names no executable"
start
for window in "${windows[@]}"; do
    for ((round = 1; round <= rounds; round++)); do
        # dnsperf first in the odd rounds, so that the first round says how many queries a second takes.
        if ((round % 2)); then order=(run_dnsperf run_ours); else order=(run_ours run_dnsperf); fi
        for run in "${order[@]}"; do "$run" "$window" "$round"; done
    done
done
table || die "ours has lost queries"
