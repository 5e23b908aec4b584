"""Where the server listens: plainly, or with TLS and, where asked for, only to clients with a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import msgspec

from materials.errors import UsageError


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files. `client_ca`: only callers with a certificate of this authority are served."""

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    def credentials(self) -> grpc.ServerCredentials | None:
        """None without TLS.

        Raises:
            UsageError: one of certificate and key is missing, or a file cannot be read.
        """
        if self.certificate is None and self.key is None and self.client_ca is None:
            return None
        if self.certificate is None or self.key is None:
            raise UsageError("TLS needs a certificate and its key", "give --tls-cert FILE and --tls-key FILE")
        pair = (_read(self.key), _read(self.certificate))
        authority = None if self.client_ca is None else _read(self.client_ca)
        return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})", "name a PEM file that this user can read"
        ) from error


def listen(server: Any, address: str, tls: TlsFiles) -> int:
    """Bind a `grpc.aio` server; the port.

    Raises:
        UsageError: the address cannot be listened on, or the TLS files are unusable.
    """
    credentials = tls.credentials()
    try:
        port = (
            server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
        )
    except RuntimeError as error:
        remedy = "is the port taken? Choose another --listen"
        if credentials is not None:
            remedy += "; is the key that of the certificate, both as PEM?"
        raise UsageError(f"{address} cannot be listened on", remedy) from error
    if not port:
        raise UsageError(f"{address} cannot be listened on", "give --listen HOST:PORT")
    return int(port)
