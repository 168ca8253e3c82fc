#!/usr/bin/env bash
# Makes a real `consul` binary available and prints its path, the only line on stdout.
#
#   .ci/consul.sh [CACHE_DIR]        CACHE_DIR defaults to target/ci in the repository
#
# A binary named by CONSUL_BIN or found on PATH is used as it is. Otherwise the package of Debian 11, the last release
# that has one, comes from the mirror this system uses already: apt runs with its own sources list, lists and cache
# inside CACHE_DIR, so that neither root nor a change to the system is needed. apt checks the signatures as always.
set -euo pipefail

readonly suite=bullseye
cache=${1:-$(cd "$(dirname "$0")/.." && pwd)/target/ci}

fail() {
    echo "consul.sh: $1" >&2
    exit 1
}

# The mirror of the system's own release: indextargets reads both formats of sources lists.
mirror() {
    local codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v codename="$codename" \
            '$1 == "main" && ($2 == codename || $2 ~ /^(old)*stable$/) && !uri { uri = $3 } END { print uri }'
}

# apt as an ordinary user with all its state below $1.
private_apt() {
    local state=$1
    shift
    apt-get -qq \
        -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$state/cache" -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Languages=none -o Acquire::Retries=3 "$@" >&2
}

download() {
    local work=$1 uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg options=''
    command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
        fail 'no consul on PATH and no apt to get one: install Consul, or name a binary in CONSUL_BIN'
    uri=$(mirror)
    [[ -n $uri ]] || fail "no Debian mirror among the system's apt sources: install Consul, or set CONSUL_BIN"
    if [[ -r $keyring ]]; then options="[signed-by=$keyring] "; fi

    mkdir -p "$work"/apt/lists/partial "$work"/apt/cache/archives/partial
    echo "deb ${options}$uri $suite main" >"$work/apt/sources.list"
    private_apt "$work/apt" update
    (cd "$work" && private_apt "$work/apt" download consul)
    dpkg -x "$work"/consul_*.deb "$work/root"
}

if [[ -n ${CONSUL_BIN:-} ]]; then
    command -v "$CONSUL_BIN" || fail "CONSUL_BIN names $CONSUL_BIN, which cannot be run"
    exit
fi
if command -v consul; then exit; fi

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
binary=$cache/consul/consul
if [[ ! -x $binary ]]; then
    work=$(mktemp -d "$cache/consul.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    download "$work"
    "$work/root/usr/bin/consul" version >/dev/null || fail "the downloaded binary does not run"
    mkdir -p "$cache/consul"
    mv -f "$work/root/usr/bin/consul" "$binary" # a rename: never half there, whoever runs beside us
fi
echo "$binary"
