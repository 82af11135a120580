#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages named as arguments where they are missing: as root, else through sudo.
# Asks first on a terminal (KAPPA_YES=1 does not). Nothing missing: no output, no network.
set -u
export LC_ALL=C
missing=
for p; do
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
	*'install ok installed'*) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -z "$missing" ] && exit 0
sudo=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps: these Debian packages are missing and there is no sudo; as root: apt-get install$missing" >&2
		exit 1
	fi
	sudo=sudo
fi
if [ -t 0 ] && [ -z "${KAPPA_YES:-}" ]; then
	printf 'Install these Debian packages?%s [Y/n] ' "$missing" >&2
	read -r answer
	case $answer in [nN]*) echo "deps: not installed, cannot go on" >&2; exit 1 ;; esac
fi
echo "deps: installing$missing" >&2
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
install() {
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $missing
}
if ! install >"$log" 2>&1; then
	# an old or empty package list: fetch it and try once more
	if ! { $sudo apt-get update -q && install; } >>"$log" 2>&1; then
		tail -20 "$log" >&2
		echo "deps: apt-get failed (above); install by hand:$missing" >&2
		exit 1
	fi
fi
