#!/bin/sh
# Makes the environment that the service runs in: install.sh and the Dockerfile share it.
#   environment.sh DIRECTORY packages   a virtual environment with the packages of requirements.lock
#   environment.sh DIRECTORY program    the service, the client and its command, from this source
# PYTHON names the Python, WHEELS a directory to take packages from instead of the internet.
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
directory=$1
pip="$directory/bin/pip --disable-pip-version-check --quiet install --no-deps"

case $2 in
packages)
    "${PYTHON:-python3}" -m venv "$directory"
    # Exactly these packages or none: each is checked against its hash.
    # shellcheck disable=SC2086  # a command with options; and two options, or none
    $pip --require-hashes ${WHEELS:+--no-index --find-links="$WHEELS"} -r "$source/requirements.lock"
    ;;
program)
    # Built in a copy, since building leaves files behind and the source may not be ours to write.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    tar -C "$source" --exclude=./.git --exclude=./.venv --exclude=./data -cf - . |
        tar -C "$copy" -xf -
    # shellcheck disable=SC2086
    $pip --no-build-isolation "$copy" "$copy/client"
    "$directory/bin/mqtt-api-server" --version >/dev/null
    ;;
esac
