#!/bin/sh
# The tests want a real broker. Install Debian's mosquitto where we may; elsewhere say so.
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] && exit 0
if [ "$(id -u)" = 0 ]; then as_root=""
elif sudo -n true 2>/dev/null; then as_root="sudo"
else echo "mosquitto is not installed and may not be installed here: its tests will be skipped"; exit 0
fi
command -v apt-get >/dev/null || { echo "please install mosquitto"; exit 0; }
echo "installing mosquitto ..."
$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends mosquitto >/dev/null
