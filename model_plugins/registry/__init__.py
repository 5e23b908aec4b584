"""Which plug-ins there are: installed ones by entry point or dotted path, and registered ones in ZooKeeper.

Whoever may write the registry and is on the workers' allow list runs code in the workers.
"""

from model_plugins.registry.installed import GROUP, available, load

__all__ = ["GROUP", "available", "load"]
