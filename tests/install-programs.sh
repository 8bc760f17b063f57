#!/usr/bin/env bash
# install-programs.sh - the DNS, CoAP, SNMP and TFTP programs that tests/tool/real_programs.rs sends through `udp-retry proxy`, the
# strace by which tests/namespaces/system_calls.rs counts, the STUN server whose path tests/namespaces/services.rs
# measures, the tracepath and scamper that tests/namespaces/others.rs measures beside this crate, and the tshark that reads
# what tests/capture and tests/tool/capture.rs write.
#
# Debian 12 packages, some ten seconds; as root or with password-less sudo. Does nothing where they are installed.
set -euo pipefail

missing=()
for package in dnsmasq-base bind9-dnsutils libcoap3-bin snmp snmpd tftp-hpa tftpd-hpa strace coturn iputils-tracepath scamper tshark; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} != 0 ] || exit 0

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo -n)
# Lists of several hours ago name packages that the archive no longer has.
[ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mmin -180 2>/dev/null | head -n 1)" ] ||
    ${sudo[@]+"${sudo[@]}"} apt-get update -qq
# The packages start servers, which no one has asked for.
[ ! -d /run/systemd/system ] ||
    ${sudo[@]+"${sudo[@]}"} systemctl mask --quiet coturn.service snmpd.service tftpd-hpa.service
${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
