#!/bin/sh
# Installs Debian packages for the tests and the measurements, without the daemons that some of
# them start and enable: a developer's machine is to have a broker on port 1883 or a web server on
# port 80 only when he wants one. A unit that is masked before its package comes is not started by
# it; afterwards it is as any unit that nobody enabled.
#   apt_install.sh PACKAGE...
set -eu

if [ "$(id -u)" = 0 ]; then as_root=""; else as_root="sudo"; fi
units=""
for package in "$@"; do
    case $package in mosquitto | nginx) units="$units $package.service" ;; esac
done
# Without a running systemd there is nobody who would start them.
[ -d "${SYSTEMD_RUNS:-/run/systemd/system}" ] || units=""

show_again() {
    # shellcheck disable=SC2086  # several units
    $as_root systemctl unmask --runtime --quiet $units
}

# shellcheck disable=SC2086
if [ -n "$units" ]; then
    trap show_again EXIT
    $as_root systemctl mask --runtime --quiet $units
fi
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    >/dev/null
# shellcheck disable=SC2086
if [ -n "$units" ]; then
    trap - EXIT
    show_again  # what is masked cannot be disabled
    $as_root systemctl disable --quiet $units
    echo "installed, and neither started nor enabled:$units"
fi
