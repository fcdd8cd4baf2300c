#!/bin/sh
# The tests want a real broker, browser and proxy, node, curl, sqlite3, systemd-analyze, and a compiler
# for the library that plays a failing disk. Install Debian's where we may; elsewhere say so: the
# tests that need them are then skipped, and named in the summary.
missing=""
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing="$missing chromium"
command -v curl >/dev/null || missing="$missing curl"
command -v sqlite3 >/dev/null || missing="$missing sqlite3"
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$missing nginx"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
command -v gcc >/dev/null || missing="$missing gcc libc6-dev"
command -v node >/dev/null || missing="$missing nodejs"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
  echo "not installed, and may not be installed here:$missing"; exit 0
fi
command -v apt-get >/dev/null || { echo "please install:$missing"; exit 0; }
echo "installing$missing ..."
# shellcheck disable=SC2086  # several packages
sh "$(dirname "$0")/apt_install.sh" $missing
