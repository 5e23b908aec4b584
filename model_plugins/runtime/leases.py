"""A plug-in that is replaced or dropped serves the media that are with it to the end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from model_plugins.runtime.active import ActivePlugin


class Leases:
    """Who uses which plug-in just now. Each use is bounded by the plug-in's own time limits, so a retired one ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: Counter[int] = Counter()
        self._retired: dict[int, ActivePlugin] = {}

    @contextmanager
    def hold(self, plugins: Iterable[ActivePlugin]) -> Iterator[None]:
        """Keep them open."""
        keys = [id(each) for each in plugins]
        with self._lock:
            self._uses.update(keys)
        try:
            yield
        finally:
            for plugin in self._release(keys):
                plugin.close()

    def retire(self, plugin: ActivePlugin) -> None:
        """Close it: now where nobody uses it, else after its last use."""
        with self._lock:
            if self._uses[id(plugin)]:
                self._retired[id(plugin)] = plugin
                return
        plugin.close()

    def close(self) -> None:
        """Close those that wait for their last use."""
        with self._lock:
            waiting = list(self._retired.values())
            self._retired.clear()
        for plugin in waiting:
            plugin.close()

    def _release(self, keys: list[int]) -> list[ActivePlugin]:
        ended = []
        with self._lock:
            for key in keys:
                self._uses[key] -= 1
                if self._uses[key] == 0:
                    del self._uses[key]
                    plugin = self._retired.pop(key, None)
                    if plugin is not None:
                        ended.append(plugin)
        return ended
