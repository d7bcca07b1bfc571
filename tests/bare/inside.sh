#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs as root in the bare system that tools/bare-check made, with the tree in /srv/beckon. One line a check; the exit status
# is 1 when one of them failed. Not for a machine that somebody uses: it installs packages and makes a server.
set -u
cd /srv/beckon || exit 2
failed=0

check() { # NAME COMMAND...
    name=$1
    shift
    begun=$(date +%s)
    if "$@" >/tmp/check.log 2>&1; then
        echo "ok   $name ($(($(date +%s) - begun)) s)"
    else
        echo "FAIL $name ($(($(date +%s) - begun)) s)"
        tail -n 40 /tmp/check.log | sed 's/^/     | /'
        failed=1
    fi
}

# With a loopback of its own: whatever the host has on its ports.
alone() {
    unshare --net sh -c 'ip link set lo up && exec "$@"' sh "$@"
}

# The usual ports are somebody else's already: the same again must find others.
with_ports_taken() {
    alone python3 tests/bare/take_ports.py 443 5060 5061 -- "$@"
}

build_packages() {
    tools/packages build desktop package && dpkg-buildpackage -us -uc -b
}

install_packages() {
    apt-get install -y --no-install-recommends ../beckon-server_*.deb ../beckon-cli_*.deb ../beckon-tools_*.deb ../beckon_*.deb &&
        beckon --version
}

# On a screen of its own, until the window of the sign-in page is on it.
desktop() {
    apt-get install -y --no-install-recommends xvfb xauth xdotool dbus || return
    dbus-run-session -- xvfb-run -a sh -c '
        ./run --desktop & run=$!
        for n in $(seq 1800); do
            kill -0 $run 2>/dev/null || exit 1
            [ -n "$(xdotool search --onlyvisible --class beckon 2>/dev/null)" ] && shown=yes && break
            sleep 0.5
        done
        kill $run; wait $run
        [ "${shown:-no}" = yes ]'
}

# The tree is out of the way: what is found is what the packages brought.
demonstrate() {
    rm -rf /tmp/elsewhere && mkdir /tmp/elsewhere || return
    cp tools/demonstrate tools/beckon.py /tmp/elsewhere/ || return
    (cd /tmp/elsewhere && python3 demonstrate --once --var /tmp/elsewhere/var)
}

purge() {
    apt-get purge -y beckon-server beckon-cli beckon-tools beckon &&
        [ ! -e /usr/bin/beckon ] && [ ! -e /etc/beckon ] && [ ! -e /var/lib/beckon ] && [ ! -e /usr/sbin/beckond ]
}

for part; do
    case $part in
    run)
        check "./run --once, from nothing" ./run --once
        check "./run --once, again" ./run --once
        check "./run --once, with the usual ports taken" with_ports_taken ./run --once
        ;;
    desktop)
        check "./run --desktop, from nothing" desktop
        check "./run --desktop, again" desktop
        ;;
    packages)
        check "dpkg-buildpackage" build_packages
        check "apt install" install_packages
        check "what the demonstration needs" tools/packages run
        check "init, serve, add and sign in somebody, stop" alone python3 tests/bare/server.py
        check "the demonstration from the packages" demonstrate
        check "purge leaves nothing" purge
        ;;
    test)
        check "./test" ./test
        check "./test, again" ./test
        ;;
    *) echo "inside.sh: no part \"$part\"" >&2; exit 2 ;;
    esac
done
exit $failed
