#!/usr/bin/env bash
# How many instructions a request costs in user space: `benches/instructions.sh [CHECKOUT...]`.
#
# Counted by callgrind in a program of its own (`instructions/`), built by the release profile as it is, with the echo in
# another process: 2,000 requests of 64 bytes less 1,000, so that nothing of the start is in it. Each further checkout of
# the library is measured with the same program, and what this one costs is set in relation to it. LISTED=25 also lists
# the functions of this checkout that cost most.
#
# The count repeats to within a few instructions; what else is compiled into a program moves it by some 6 %, the profile
# by 20 %. Target: at most 850, and at most 0.68 of commit 3268425.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$here/target/instructions
for tool in valgrind callgrind_annotate; do
    command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }
done

# Builds the program with the library of a checkout; says where it is.
built() {
    local checkout=$1 at
    at=$work/$(cksum <<<"$checkout" | cut -d' ' -f1)
    mkdir -p "$at/src"
    cp "$here/benches/instructions/src/main.rs" "$at/src/"
    sed "s|path = \"../..\"|path = \"$checkout\"|" "$here/benches/instructions/Cargo.toml" >"$at/Cargo.toml"
    # The dependencies that the checkout itself has.
    cp "$checkout/Cargo.lock" "$at/"
    cargo build --quiet --release --manifest-path "$at/Cargo.toml" --target-dir "$at/target" >&2
    echo "$at/target/release/udp-retry-instructions"
}

# Instructions of so many requests, in all; callgrind's own record goes to a file.
counted() {
    local program=$1 way=$2 count=$3
    valgrind --tool=callgrind --callgrind-out-file="$work/$way.$count" "$program" "$way" "$server" "$count" 2>&1 >/dev/null |
        sed -n 's/.*Collected : *//p'
}

# Of one request.
each() {
    echo $((($(counted "$1" "$2" 2000) - $(counted "$1" "$2" 1000)) / 1000))
}

# What a function costs in one request, the dearest first.
listed() {
    for count in 1000 2000; do
        callgrind_annotate --threshold=100 "$work/requester.$count" |
            sed -nE "s/^ *([0-9,]+) \( *[0-9.]+%\)  (.*) \[.*/$count\t\1\t\2/p" | tr -d ,
    done | awk -F'\t' '{ sum[$3] += $1 == 2000 ? $2 : -$2 }
        END { for (name in sum) if (sum[name] > 500) printf "%7.0f  %s\n", sum[name] / 1000, name }' |
        sort -rn | head -n "$1"
}

stop() {
    [[ -z ${echo_pid:-} ]] || kill "$echo_pid" 2>/dev/null || true
    echo_pid=
}
trap stop EXIT

# One checkout: the bare loop, the requester, and how many times as much that is.
measured() {
    local checkout program bare
    checkout=$(cd "$1" && pwd)
    program=$(built "$checkout")
    "$program" echo >"$work/echo" &
    echo_pid=$!
    until [[ -s $work/echo ]]; do sleep 0.05; done
    server=$(<"$work/echo")
    bare=$(each "$program" raw)
    figure=$(each "$program" requester)
    stop
    rm "$work/echo"
    printf '%-24s %6d raw loop %6d requester %6s times\n' \
        "$(git -C "$checkout" describe --always --dirty)" "$bare" "$figure" "$(ratio "$figure" "$bare")"
}

ratio() {
    awk -v one="$1" -v other="$2" 'BEGIN { printf "%.3f", one / other }'
}

measured "$here"
first=$figure
[[ -z ${LISTED:-} ]] || listed "$LISTED"
for other in "$@"; do
    measured "$other"
    echo "here $(ratio "$first" "$figure") of that"
done
