"""`python -m pipeline.gateway.server --state DIR --listen HOST:PORT`: the gateway as a process.

SIGTERM and SIGINT end it when the requests in work are answered. Exit codes: 0 ended as asked, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvicorn

from deploy.addresses import Addresses, GivenAddresses, host_port
from materials.errors import SosieError, UsageError
from pipeline.gateway.app import make_app
from pipeline.gateway.protocol import PunctualProtocol
from pipeline.gateway.settings import GatewaySettings
from vector_index.channels import is_loopback
from vector_index.tokens import ensure_token_file

GRACE_SECONDS = 10
MAX_CONNECTIONS = 512
BACKLOG = 256


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.gateway.server", description="The sosie HTTP gateway.")
    parser.add_argument("--state", type=Path, required=True, help="the system's folder")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="address, e.g. 127.0.0.1:8080")
    for part in ("index", "redis", "zookeeper"):
        parser.add_argument(f"--{part}", default="", help="address; or the environment's")
    parser.add_argument("--read-token-file", type=Path, metavar="FILE", help="callers must show a token of this file")
    parser.add_argument("--host-name", action="append", default=[], metavar="NAME", help="a name it is reached under")
    return parser.parse_args(argv)


def settings_of(options: argparse.Namespace) -> GatewaySettings:
    """What the command line and the environment say.

    Raises:
        UsageError: an address is missing, or strangers could read what they should not.
    """
    given = GivenAddresses.read(os.environ, index=options.index, redis=options.redis, zookeeper=options.zookeeper)
    for part in ("index", "redis", "zookeeper"):
        if not getattr(given, part):
            raise UsageError(f"no address of {part}", f"give --{part}, or set SOSIE_{part.upper()}")
    return settings_for(
        options.state,
        Addresses(zookeeper=given.zookeeper, redis=given.redis, index=given.index),
        options.listen,
        options.read_token_file,
        tuple(options.host_name),
    )


def settings_for(
    state: Path, addresses: Addresses, listen: str, read_token_file: Path | None, hosts: tuple[str, ...]
) -> GatewaySettings:
    """Checked settings.

    Raises:
        UsageError: the address is none, or others could reach it without a token.
    """
    try:
        host, _ = host_port(listen)
    except ValueError:
        raise UsageError(f"{listen!r} is no address to listen on", "HOST:PORT, e.g. 127.0.0.1:8080") from None
    if read_token_file is not None:
        ensure_token_file(read_token_file)
    elif not is_loopback(listen):
        raise UsageError(
            f"{listen} can be reached by others, and no token is asked for",
            "give --read-token-file FILE (made if absent)",
        )
    named = (*hosts, host) if host not in ("0.0.0.0", "::") else hosts  # noqa: S104 - a comparison
    return GatewaySettings(addresses=addresses, state=state, read_token_file=read_token_file, hosts=named)


def serve(settings: GatewaySettings, listen: str) -> int:
    """Answer requests until a signal comes; the exit code."""
    host, port = host_port(listen)
    config = uvicorn.Config(
        make_app(settings),
        host=host,
        port=port,
        loop="asyncio",
        http=PunctualProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="error",  # a warning for each malformed request would let strangers fill the disk
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = uvicorn.Server(config)
    try:
        server.run()
    except SystemExit as ended:  # uvicorn's way to say that it could not start
        return 1 if ended.code else 0
    return 0 if server.started else 1


def main() -> None:
    """Entry point: one line for a person, no stack trace, where the mistake is theirs."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    options = arguments(sys.argv[1:])
    try:
        code = serve(settings_of(options), options.listen)
    except UsageError as error:
        sys.exit(_say(f"{error.message}. {error.remedy}", 2))
    except SosieError as error:
        sys.exit(_say(str(error), 1))
    sys.exit(code)


def _say(line: str, code: int) -> int:
    sys.stderr.write(f"gateway: {line}\n")
    return code


if __name__ == "__main__":
    main()
