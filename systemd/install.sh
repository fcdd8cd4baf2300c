#!/bin/sh
# Installs the service under systemd, or upgrades it. Run as root, from a checkout or from the
# unpacked source archive:   sudo systemd/install.sh
#
# Safe to run again: settings, secrets, keys and history stay as they are. The program before is
# kept as /opt/mqtt-api/previous.
#
#   PYTHON=python3.12   the Python to use (3.11 or later; default: python3)
#   WHEELS=/media/usb   take the packages from this directory, not from the internet
#   ROOT=/tmp/scratch   install below this directory, and touch neither users nor systemd
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
ROOT=${ROOT:-}
PYTHON=${PYTHON:-python3}
program=$ROOT/opt/mqtt-api
settings=$ROOT/etc/mqtt-api
state=$ROOT/var/lib/mqtt-api
commands=$ROOT/usr/local/bin
units=$ROOT/etc/systemd/system
user=mqtt-api

fail() { echo "install.sh: $*" >&2; exit 1; }

# Where the unit's ProtectHome, or the rights of a home directory, would hide Python.
is_hidden() {
    case $1 in /home/* | /root/* | /run/user/*) return 0 ;; *) return 1 ;; esac
}

check() {
    [ -n "$ROOT" ] || [ "$(id -u)" = 0 ] || fail "run it as root: sudo systemd/install.sh"
    [ -n "$ROOT" ] || command -v systemctl >/dev/null || fail "there is no systemd here"
    command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON: apt install python3 python3-venv"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$PYTHON is too old: 3.11 or later is needed (PYTHON=... names another)"
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "Python cannot make virtual environments: apt install python3-venv"
    place=$("$PYTHON" -c 'import sys; print(sys.base_prefix)')/
    [ -n "$ROOT" ] || ! is_hidden "$place" ||
        fail "the service cannot reach the Python in $place: PYTHON=/usr/bin/python3 names another"
}

# Each release gets a directory of its own, and `current` is moved to it when it is complete: an
# installation that breaks off leaves what runs as it was. The one before is kept.
install_program() {
    version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$here/server.py")
    print=$(cd "$here" && cat requirements.lock server.py ./*/*.py ./*/*/*.py migrations/*.sql |
        sha256sum | cut -c1-12)
    name=releases/$version-$print
    mkdir -p "$program/releases"
    if [ ! -e "$program/$name/complete" ]; then
        echo "installing the packages; this takes minutes on a small computer ..."
        rm -rf "${program:?}/$name"
        sh "$here/systemd/environment.sh" "$program/$name" packages
        sh "$here/systemd/environment.sh" "$program/$name" program
        touch "$program/$name/complete"
    fi
    before=$(readlink "$program/current" || true)
    if [ -n "$before" ] && [ "$before" != "$name" ]; then
        ln -sfn "$before" "$program/previous"
    fi
    ln -sfn "$name" "$program/current"
    for old in "$program"/releases/*; do
        case releases/${old##*/} in
        "$name" | "$(readlink "$program/previous" || true)") ;;
        *) rm -rf "$old" ;;
        esac
    done
    # The pages, and what they point to.
    for part in docs README.md CHANGELOG.md LICENSE mosquitto.conf monitoring proxy systemd \
        containers docker-compose.yml; do
        rm -rf "${program:?}/$part"
        cp -R "$here/$part" "$program/$part"
    done
}

install_user() {
    [ -z "$ROOT" ] || return 0
    getent group "$user" >/dev/null || groupadd --system "$user"
    id "$user" >/dev/null 2>&1 || useradd --system --gid "$user" --no-create-home \
        --home-dir /var/lib/mqtt-api --shell /usr/sbin/nologin "$user"
}

install_settings() {
    install -d -m 0755 "$settings"
    # What this release ships stands beside what is yours, to be compared after an upgrade.
    sed "s|=/var/lib/mqtt-api|=$state|" "$here/systemd/mqtt-api.env" \
        >"$settings/mqtt-api.env.shipped"
    [ -e "$settings/mqtt-api.env" ] ||
        cp "$settings/mqtt-api.env.shipped" "$settings/mqtt-api.env"
    [ -e "$settings/mqtt-password" ] ||
        (umask 077; printf '%s\n' "${MQTT_PASSWORD:-}" >"$settings/mqtt-password")
    [ -e "$settings/api-key" ] ||
        (umask 077; "$PYTHON" -c 'import secrets; print(secrets.token_urlsafe(32))' \
            >"$settings/api-key")
    install -d -m 0750 "$state"
    [ -e "$state/keys.json" ] || (umask 077; echo '{"keys": []}' >"$state/keys.json")
    [ -n "$ROOT" ] || chown "$user:$user" "$state" "$state/keys.json"
}

install_commands() {
    install -d -m 0755 "$commands" "$units"
    sed "s|^root=.*|root=$ROOT|" "$here/systemd/mqtt-api-server" >"$commands/mqtt-api-server"
    chmod 0755 "$commands/mqtt-api-server"
    ln -sfn "$program/current/bin/mqtt-api" "$commands/mqtt-api"
    install -m 0644 "$here/systemd/mqtt-api.service" "$units/mqtt-api.service"
}

start() {
    "$commands/mqtt-api-server" --check-config ||
        fail "correct $settings/mqtt-api.env, then run this again"
    [ -z "$ROOT" ] || return 0
    systemctl daemon-reload
    systemctl enable -q mqtt-api
    systemctl restart mqtt-api
}

check
umask 022
install_program
install_user
install_settings
install_commands
start
cat <<END
installed: $(readlink "$program/current")
  settings  $settings/mqtt-api.env   (then: systemctl restart mqtt-api)
  secrets   $settings/mqtt-password, $settings/api-key
  history   $state
  is all well?  sudo mqtt-api-server doctor
END
