"""`sosie …` in a process whose resolver is the name server of `traps`: `python -m hostile.job HOST:PORT run SPEC`.

Only the resolver is replaced, as another machine's would be by its `resolv.conf`; what is tested asks it as it always
does. Names that do not end in `.test` go to the system.
"""

from __future__ import annotations

import secrets
import socket
import struct
import sys
from typing import Any

from hostile.traps import records

_system = socket.getaddrinfo


def resolver(server: tuple[str, int]) -> Any:
    """A `socket.getaddrinfo`."""

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(host, str) or not host.endswith(".test"):
            return _system(host, port, *args, **options)
        found = _ask(host, server)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found
        ]

    return getaddrinfo


def _ask(host: str, server: tuple[str, int]) -> list[str]:
    name = b"".join(bytes([len(label)]) + label.encode() for label in host.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.settimeout(1.0)
        caller.sendto(secrets.token_bytes(2) + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + name + b"\0\1\0\1", server)
        try:
            packet = caller.recv(4096)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from None
    return list(records(packet))


def main() -> None:
    """The program."""
    host, _, port = sys.argv.pop(1).rpartition(":")
    socket.getaddrinfo = resolver((host, int(port)))
    from pipeline.cli.main import run

    run()


if __name__ == "__main__":
    main()
