"""
Packets to other machines: `python -m tests.support.packets COMMAND...` in a network namespace of
its own.

There every address of the world leads to the loopback device, on which all is seen that would
leave a real machine. A last line says, as JSON, how many packets the command sent to each address
that is not loopback, after a first packet that proves that they are seen.
"""

import json
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

PROOF = "198.51.100.1"
RESOLVER = "198.51.100.53"  # names are looked up there
ALL, IPV4, IPV6 = 0x0003, 0x0800, 0x86DD  # linux/if_ether.h
_SETUP = f"""
set -e
ip link set lo up
ip route add local default dev lo
ip -6 route add local default dev lo 2> /dev/null || true
echo "nameserver {RESOLVER}" > "$0/resolv.conf"
mount --bind "$0/resolv.conf" /etc/resolv.conf
touch "$0/names"
cat /etc/hosts "$0/names" > "$0/hosts"
mount --bind "$0/hosts" /etc/hosts
exec "$@"
"""


def isolated(folder: Path, command: Sequence[str]) -> tuple[int, str, Counter[str]] | str:
    """
    The exit code and the output of a command, and its packets by address; or why the system has no
    namespace for it.

    Args:
        folder: where it runs; a file `names` in it is added to /etc/hosts.
    """
    unshare = ["unshare", "--map-root-user", "--net", "--mount"]
    setup = [*unshare, "sh", "-c", _SETUP, str(folder)]
    try:
        subprocess.run([*setup, "true"], check=True, capture_output=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespace: {getattr(error, 'stderr', None) or error}"
    counted = [*setup, sys.executable, "-P", __file__, *command]
    ended = subprocess.run(
        counted, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8"
    )
    *lines, last = ended.stdout.splitlines()
    return ended.returncode, "\n".join(lines), Counter(json.loads(last))


class _Sniffer(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.counts: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL))
        self._socket.bind(("lo", 0))

    def run(self) -> None:
        while True:
            packet, (_, protocol, kind, *_) = self._socket.recvfrom(1 << 16)
            if kind != socket.PACKET_OUTGOING or protocol not in (IPV4, IPV6):
                continue
            address = ip_address(packet[16:20] if protocol == IPV4 else packet[24:40])
            if not address.is_loopback:
                self.counts[str(address)] += 1

    def settle(self) -> None:
        """Returns when all that was sent until now is counted."""
        before = self.counts[PROOF]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proof:
            proof.sendto(struct.pack("d", 0), (PROOF, 9))
        while self.counts[PROOF] == before:
            threading.Event().wait(0.01)


def main(command: Sequence[str]) -> int:
    sniffer = _Sniffer()
    sniffer.start()
    sniffer.settle()
    code = subprocess.run(command).returncode
    sniffer.settle()
    del sniffer.counts[PROOF]  # and what answered it
    print(flush=True)
    print(json.dumps(sniffer.counts))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
