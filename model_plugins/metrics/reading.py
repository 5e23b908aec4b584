"""Asks all workers what they did lately, and adds it up."""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from model_plugins.discovery.zookeeper_access import Access
from model_plugins.metrics.rows import Recent, merge
from model_plugins.metrics.worker import OperatorRecent
from model_plugins.metrics.workers import Worker, workers

log = structlog.get_logger(__name__)

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy for the world outside is not for our own servers."""


class Lately(msgspec.Struct, kw_only=True):
    """The last minutes of the platform. `silent`: workers that are announced and did not answer."""

    recent: Recent
    workers: list[Worker]
    silent: list[Worker]


def recent(zookeeper: str, job: str = "", access: Access | None = None, timeout: float = 2.0) -> Lately:
    """Ask every worker that is announced.

    Args:
        job: only this one's operators; empty: all.
        timeout: seconds for each worker; they are asked side by side.

    Raises:
        UsageError: ZooKeeper does not answer, or refuses us.
    """
    found = [each for each in workers(zookeeper, access) if job in ("", each.job)]
    return ask(found, timeout)


def ask(found: Sequence[Worker], timeout: float = 2.0) -> Lately:
    """Ask these workers; each process once, however many operators it has."""
    addresses = sorted({each.target for each in found})
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = dict(zip(addresses, pool.map(lambda each: _ask(each, timeout), addresses), strict=True))
    wanted = {each.id for each in found}
    heard = [each for answer in answers.values() for each in answer or () if each.id in wanted]
    ids = {each.id for each in heard}
    return Lately(
        recent=merge([each.recent for each in heard]),
        workers=list(found),
        silent=[each for each in found if each.id not in ids],
    )


def _ask(address: str, timeout: float) -> list[OperatorRecent] | None:
    try:
        with _direct.open(f"http://{address}/recent.json", timeout=timeout) as answer:
            return msgspec.json.decode(answer.read(), type=list[OperatorRecent])
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("worker_does_not_answer", address=address, error=str(error))
        return None
