#!/bin/sh
# The measurements want a real broker, wrk for HTTP, and a C compiler for the load tools. Install
# Debian's where we may; elsewhere say what is missing, and end.
missing=""
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v wrk >/dev/null || missing="$missing wrk"
command -v cc >/dev/null || missing="$missing gcc libc6-dev"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
  echo "please install:$missing"; exit 1
fi
command -v apt-get >/dev/null || { echo "please install:$missing"; exit 1; }
echo "installing$missing ..."
# shellcheck disable=SC2086  # several packages
sh "$(dirname "$0")/../tests/apt_install.sh" $missing
