"""How a client reaches an index service: plain or TLS channels, and the token that it shows.

Secrets and certificates are given by reference, as files:

    SOSIE_INDEX_TOKEN_FILE   the token for calls that write (a service on this machine names its own file)
    SOSIE_INDEX_CA           certificate authority of the service: turns TLS on
    SOSIE_INDEX_CERT, _KEY   the client's own certificate, where the service asks for one
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import msgspec

from materials.errors import UsageError
from vector_index import tokens

MAX_MESSAGE = 64 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
)
CA, CERT, KEY = "SOSIE_INDEX_CA", "SOSIE_INDEX_CERT", "SOSIE_INDEX_KEY"
ENVIRONMENT = (tokens.ENVIRONMENT, CA, CERT, KEY)
"""What a process that talks to a secured index service must be given."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Files that open an index service. None: not used."""

    token_file: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> Access:
        """What the variables of `ENVIRONMENT` name."""
        found = os.environ if environment is None else environment
        token_file, ca, certificate, key = (Path(found[name]) if found.get(name) else None for name in ENVIRONMENT)
        return cls(token_file=token_file, ca=ca, certificate=certificate, key=key)

    def credentials(self) -> grpc.ChannelCredentials | None:
        """For TLS, None for a plain channel.

        Raises:
            UsageError: a file cannot be read, or one of certificate and key is missing.
        """
        if self.ca is None:
            if self.certificate or self.key:
                raise UsageError("a client certificate without a CA", f"name the service's CA, too: {CA}")
            return None
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a client certificate needs its key, and a key its certificate", f"set {CERT} and {KEY}")
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.certificate))


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})", f"correct one of {', '.join(ENVIRONMENT)}"
        ) from error


def open_channel(address: str, access: Access) -> Any:
    """A blocking channel."""
    credentials = access.credentials()
    if credentials is None:
        return grpc.insecure_channel(address, options=OPTIONS)
    return grpc.secure_channel(address, credentials, options=OPTIONS)


def open_async_channel(address: str, access: Access) -> Any:
    """A channel of the running loop."""
    credentials = access.credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)


class TokenHolder:
    """The token of one client, learnt when it is first asked for.

    A service on this machine says which file holds its token; only its owner can read that. What is read is sent only
    if it has a token's form, so that no service can make a client send it some other file.
    """

    def __init__(self, address: str, access: Access) -> None:
        self._local = is_loopback(address)
        self._file = access.token_file
        self.metadata: tuple[tuple[str, str], ...] = ()
        if self._file is not None:
            self.metadata = tokens.bearer(tokens.read_tokens(self._file)[0])

    def learn(self, error: grpc.RpcError, shown: tuple[tuple[str, str], ...]) -> bool:
        """After a refusal: whether there is another token to try than the one that was shown."""
        if error.code() != grpc.StatusCode.UNAUTHENTICATED:
            return False
        path = self._file or self._named(error)
        if path is None:
            return False
        self.metadata = tokens.bearer(tokens.read_tokens(path)[0])
        return self.metadata != shown

    def _named(self, error: grpc.RpcError) -> Path | None:
        named = dict(error.trailing_metadata() or ()).get(tokens.CHALLENGE)
        return Path(os.fsdecode(named)) if self._local and isinstance(named, bytes) else None


def is_loopback(address: str) -> bool:
    """Whether `host:port`, or gRPC's name of a peer (`ipv4:127.0.0.1:4711`, `unix:…`), is this machine."""
    if address.startswith("unix:"):
        return True
    host = address.removeprefix("ipv4:").removeprefix("ipv6:").replace("%5B", "[").replace("%5D", "]")
    host = host.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
