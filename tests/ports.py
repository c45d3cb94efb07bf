"""Which addresses of this machine are listened on, as the kernel says."""

import socket
from pathlib import Path


def listening(port):
    """Return the addresses on which a port is listened to: 127.0.0.1, or 0.0.0.0 and :: for every one."""
    found = set()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        table = Path("/proc/net") / name
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            _, local, _, state = line.split()[:4]
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:  # 0A: listening
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                found.add(socket.inet_ntop(family, b"".join(words)))
    return found


def held():
    """Return a socket that listens on a port of 127.0.0.1 that was free."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken


def free_port():
    with held() as taken:
        return taken.getsockname()[1]
