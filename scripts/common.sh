# shellcheck shell=bash
# What the scripts share. Sourced; the caller has set -euo pipefail.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
export ROOT
# Debian keeps nginx and others in sbin, which is not on a user's path.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s\n' "$*"; }
die() {
    printf '%s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -- "$@"
    fi
}

# A process by pid and start time, so that a number used again is not mistaken for it.
start_time() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    set -- "${stat##*) }"
    # shellcheck disable=SC2086 # the fields of the line
    set -- $1
    [ "$1" != Z ] && printf '%s\n' "${20}"
}

# remember FILE PID
remember() { printf '%s %s\n' "$2" "$(start_time "$2")" >"$1"; }

# alive FILE: prints the pid when the process that FILE remembers is still there
alive() {
    local pid started
    [ -r "$1" ] && read -r pid started <"$1" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] && printf '%s\n' "$pid"
}

# await SECONDS COMMAND…: until it succeeds; looks every 50 ms
await() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.05
    done
}

gone() { ! alive "$1" >/dev/null; }

# stop_process FILE NAME SECONDS: TERM, then KILL when it does not leave
stop_process() {
    local pid
    if pid=$(alive "$1"); then
        kill -TERM "$pid" 2>/dev/null || true
        if ! await "$3" gone "$1"; then
            say "$2 did not stop within $3 s and was killed"
            kill -KILL "$pid" 2>/dev/null || true
            await 5 gone "$1" || true
        fi
    fi
    rm -f "$1"
}

# port_taken PORT: somebody listens on 127.0.0.1:PORT
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
