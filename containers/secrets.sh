#!/bin/sh
# Makes the passwords and the key of docker-compose.yml in secrets/, each once: what is there stays.
#   sh containers/secrets.sh
set -eu

cd "$(dirname "$0")/.."
image=$(sed -n 's/^ *image: \(eclipse-mosquitto:.*\)/\1/p' docker-compose.yml)
# Nobody else on this machine may look into the directory. The files in it are readable for all,
# since each is shown to a container whose user has another number.
mkdir -p secrets
chmod 0700 secrets

make_secret() {
    [ -s "secrets/$1" ] || head -c 24 /dev/urandom | base64 | tr -d '\n' | tr '/+' '_-' >"secrets/$1"
    chmod 0644 "secrets/$1"
}

add_user() {
    option=$([ -e secrets/mosquitto.passwd ] || echo -c)
    # shellcheck disable=SC2086  # an option, or none
    if command -v mosquitto_passwd >/dev/null; then
        mosquitto_passwd -b $option secrets/mosquitto.passwd "$1" "$(cat "secrets/$2")"
    else
        docker run --rm --user "$(id -u)" -v "$PWD/secrets:/secrets" "$image" \
            mosquitto_passwd -b $option /secrets/mosquitto.passwd "$1" "$(cat "secrets/$2")"
    fi
}

make_secret api_key
make_secret mqtt_password
make_secret plant_password
[ -e secrets/mosquitto.passwd ] || {
    add_user api mqtt_password
    add_user plant plant_password
}
chmod 0644 secrets/mosquitto.passwd
echo "secrets/ has api_key (for callers), mqtt_password (the service's) and plant_password (the machines')"
