"""Where a material is that has no outcome of its own: in the retry queue, inside its post, or nowhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis.exceptions import RedisError

from materials.errors import Retryable
from pipeline import lookups
from reconcile.retry.queue import RetryQueue
from reconcile.retry.server import connect

NEVER_SEEN = "no such material was seen"


def whereabouts(redis_url: str, material_ids: Sequence[str]) -> dict[str, str]:
    """material_id -> one sentence, for each of these that has no outcome, or was rejected or ended dead.

    Raises:
        UsageError: Redis does not answer.
        Retryable: it does not answer any more.
    """
    posts = {name: name.rpartition("/")[0] for name in material_ids if name.rpartition("/")[2].isdigit()}
    ended = lookups.outcomes(redis_url, [*material_ids, *posts.values()])
    told = {name: _refused(name, ended[name]) for name in material_ids}
    told = {name: sentence for name, sentence in told.items() if sentence or not ended[name]}
    open_ = {name for name in told if not ended[name]}
    for name, sentence in _waiting(redis_url, open_).items() if open_ else ():
        told[name] = sentence
    for name, post in posts.items():
        if name in open_ and not told[name] and post and ended[post]:
            told[name] = f"a medium of {post}, decided with it: sosie content history {name}"
    return {name: sentence or NEVER_SEEN for name, sentence in told.items()}


def _refused(name: str, by_policy: dict[str, dict[str, object]]) -> str:
    bad = [one for one in by_policy.values() if one["outcome"] in ("rejected", "dead")]
    if not bad or len(bad) < len(by_policy):
        return ""
    what = "was rejected" if bad[0]["outcome"] == "rejected" else "ended dead"
    return f"{what} ({bad[0]['reason']}), so it has no content ID: sosie trace {name}"


def _waiting(redis_url: str, names: set[str]) -> dict[str, str]:
    connection = connect(redis_url)
    try:
        found = list(RetryQueue(connection).entries(lambda entry: entry.material_id in names))
    except (RedisError, OSError) as error:
        raise Retryable(f"the retry queue does not answer: {error}") from error
    finally:
        connection.close()
    now = time.time()
    return {
        entry.material_id: f"waits for attempt {entry.attempt + 1}, due in {max(0.0, entry.due_at - now):.0f} s, after"
        f" {entry.error}: sosie retry list {entry.material_id}"
        for entry in found
    }
