"""`python -m vector_index.server --state DIR --listen HOST:PORT`: the index service.

SIGTERM and SIGINT end it cleanly, with a snapshot; a kill loses nothing that was acknowledged. Exit codes: 0 ended as
asked, 1 failed (the supervisor restarts it), 2 wrong use.
"""

from __future__ import annotations

import os

# before numpy: threads of BLAS and OpenMP fight over the cores with the writer (measured: adds 400 times slower)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import asyncio
import fcntl
import gc
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import grpc
import structlog

from materials.errors import Permanent, SosieError, UsageError
from vector_index.channels import MAX_MESSAGE, is_loopback
from vector_index.engine import SNAPSHOT_EVERY, Engine
from vector_index.gatekeeper import MAX_BYTES_IN_FLIGHT, Gatekeeper
from vector_index.health import Health, health_handler
from vector_index.listening import TlsFiles, listen
from vector_index.policies import policies_of
from vector_index.proto import index_pb2_grpc
from vector_index.ranking.registry import default_rankers
from vector_index.recall_engines.choice import RecallChoice
from vector_index.segments.flags import add_budgets, budgets
from vector_index.service import IndexService
from vector_index.tokens import FILE_NAME, Gate, ensure_token_file
from vector_index.writer import MAX_PENDING, Writer

GRACE_SECONDS = 5.0
SWITCH_SECONDS = 0.0005
"""A searcher that comes back from FAISS waits so long at most for the interpreter, not Python's five milliseconds."""
MAX_CONCURRENT_CALLS = 256
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.so_reuseport", 0),  # else a second server on the port would silently share its calls
)

logger = structlog.get_logger(__name__)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vector_index.server", description="The sosie index service.")
    parser.add_argument("--state", type=Path, required=True, help="folder of the index's log and snapshots")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="address, e.g. 127.0.0.1:7070")
    parser.add_argument("--snapshot-every", type=int, default=SNAPSHOT_EVERY, metavar="ITEMS")
    parser.add_argument("--max-pending", type=int, default=MAX_PENDING, metavar="ITEMS", help="then callers must wait")
    parser.add_argument(
        "--max-bytes", type=int, default=MAX_BYTES_IN_FLIGHT, metavar="BYTES", help="of requests in flight, in all"
    )
    parser.add_argument(
        "--recall",
        action="append",
        default=[],
        metavar="SPACE=ENGINE:ADDRESS",
        help="keep a space in a recall engine, e.g. image-embedding=milvus:http://127.0.0.1:19530 (docs/scale.md)",
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="tokens for writes; default: STATE/token")
    parser.add_argument("--open-writes", action="store_true", help="ask for no token")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="the server's certificate (PEM): turns TLS on")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key (PEM)")
    parser.add_argument("--tls-client-ca", type=Path, metavar="FILE", help="serve only clients with its certificates")
    add_budgets(parser)
    return parser.parse_args(argv)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process on a folder.

    Raises:
        UsageError: another one has it, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be used ({error.strerror})", "give another --state") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another index service has {folder} open", "stop it (`sosie down`), or give another --state"
            ) from None
        yield
    finally:
        os.close(descriptor)


async def serve(engine: Engine, options: argparse.Namespace) -> int:
    """Answer calls until a signal comes; the exit code.

    Raises:
        UsageError: the address cannot be listened on, or a token or TLS file is unusable.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, 0)

    def broken(reason: str) -> None:
        logger.error("index service must restart", reason=reason)
        loop.call_soon_threadsafe(end, 1)

    gatekeeper = Gatekeeper(_gate(options), options.max_bytes)
    tls = TlsFiles(options.tls_cert, options.tls_key, options.tls_client_ca)
    health = Health()
    writer = Writer(engine, broken, options.max_pending)
    service = IndexService(engine, writer, gatekeeper.refused)
    server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS, interceptors=(gatekeeper,))
    register: Any = index_pb2_grpc.add_VectorIndexServicer_to_server
    register(service, server)
    server.add_generic_rpc_handlers((health_handler(health),))
    port = listen(server, options.listen, tls)
    await server.start()
    logger.info("index service listens", address=options.listen, port=port, tls=options.tls_cert is not None)
    code = await ended
    logger.info("index service stops", code=code)
    await health.set_serving(False)
    await server.stop(GRACE_SECONDS)
    await asyncio.to_thread(writer.close)
    service.close()
    return code


def _gate(options: argparse.Namespace) -> Gate:
    if options.open_writes:
        if not is_loopback(options.listen):
            logger.warning("whoever reaches this address may write", address=options.listen)
        return Gate(None)
    return Gate(ensure_token_file(options.token_file or options.state / FILE_NAME))


def run(argv: Sequence[str]) -> int:
    """The process, without its exit."""
    options = arguments(argv)
    faiss.omp_set_num_threads(1)
    sys.setswitchinterval(SWITCH_SECONDS)
    with exclusive(options.state):
        engine = Engine(
            options.state,
            default_rankers(),
            policies_of(options.state),
            snapshot_every=options.snapshot_every,
            elsewhere=RecallChoice(options.recall, options.state).space_for,
            storage=budgets(options),
        )
        gc.collect()
        gc.freeze()  # modules and the engine stay: a collection that walks them holds every call up for 30 ms
        try:
            return asyncio.run(serve(engine, options))
        finally:
            engine.close()


def main() -> None:
    """Entry point: one line for a person, no stack trace, where the mistake is theirs."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        code = run(sys.argv[1:])
    except UsageError as error:
        sys.exit(_say(f"{error.message}. {error.remedy}", 2))
    except (Permanent, SosieError) as error:
        sys.exit(_say(str(error), 1))
    sys.exit(code)


def _say(line: str, code: int) -> int:
    sys.stderr.write(f"index service: {line}\n")
    return code


if __name__ == "__main__":
    main()
