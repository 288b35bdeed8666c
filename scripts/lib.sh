# Shared by the scripts beside it: sentences for what is missing, and packages.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/vayro

# Outside the checkout, so that a fresh clone builds on what an earlier one left; never relied upon.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

# Tests run executables in which the worker can be made to die or stop at named points; no release has these.
# shellcheck disable=SC2034
test_features=vayro-worker/failpoints

die() { printf 'error: %s\n\nhint: %s\n' "$1" "$2" >&2; exit 1; }
note() { printf '== %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif has sudo && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1; fi
}

# need COMMAND PACKAGE...: installs Debian packages unless the command is there already.
need() {
    local command=$1; shift
    has "$command" && return
    has apt-get || die "\`$command\` is missing and this system has no apt-get" "install $* in the system's own way"
    note "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1 ||
        { as_root apt-get update -qq >/dev/null 2>&1 &&
          as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1; } ||
        die "\`$command\` is missing and could not be installed" "run as root: apt-get install $*"
}

# Cargo tells checkouts apart by the times of files alone, so what a newer one left of our own crates would
# pass for this one's.
claim_target() {
    local owner=$CARGO_TARGET_DIR/checkout
    [ "$(cat "$owner" 2>/dev/null)" = "$root" ] && return
    rm -rf "$CARGO_TARGET_DIR"/*/.fingerprint/vayro-*
    mkdir -p "$CARGO_TARGET_DIR"
    printf '%s\n' "$root" >"$owner"
}

# What every build needs.
need_build_tools() {
    claim_target
    has cargo || die '`cargo` is missing' 'install Rust 1.95 or newer, see https://rustup.rs'
    need cc gcc libc6-dev
    need c++ g++
    need make make
    need cmake cmake
}
