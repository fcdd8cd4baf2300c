#!/bin/sh
# Takes the service away and keeps what cannot be had again: history, settings, secrets and keys.
# Run as root:   sudo systemd/uninstall.sh          (ROOT=/tmp/scratch as for install.sh)
set -eu

ROOT=${ROOT:-}
if [ -z "$ROOT" ]; then
    [ "$(id -u)" = 0 ] || { echo "uninstall.sh: run it as root" >&2; exit 1; }
    systemctl disable -q --now mqtt-api 2>/dev/null || true
fi
rm -f "$ROOT/etc/systemd/system/mqtt-api.service"
rm -f "$ROOT/usr/local/bin/mqtt-api-server" "$ROOT/usr/local/bin/mqtt-api"
rm -rf "$ROOT/opt/mqtt-api"
[ -n "$ROOT" ] || systemctl daemon-reload
cat <<END
removed. Kept, for you to delete or for install.sh to find again:
  settings and secrets  $ROOT/etc/mqtt-api
  history               $ROOT/var/lib/mqtt-api
  the user mqtt-api     (userdel mqtt-api)
END
