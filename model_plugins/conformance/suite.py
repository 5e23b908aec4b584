"""The suite that every plug-in passes: one class, two ways to run it.

An author inherits it and runs pytest:

    class TestMyPlugin(PluginConformance):
        plugin = MyPlugin()

`sosie plugin check PATH` runs the same methods in a child process. Neither needs a model server or a stack. Each
`test_` method is one promise of the protocol; a broken one says what was promised, what happened, for which example,
and what to change.
"""

from __future__ import annotations

from typing import Any

from model_plugins.conformance.budget_promises import BudgetPromises
from model_plugins.conformance.interpret_promises import InterpretPromises
from model_plugins.conformance.manifest_promises import ManifestPromises
from model_plugins.conformance.media_promises import MediaPromises
from model_plugins.conformance.prepare_promises import PreparePromises
from model_plugins.conformance.promises import Promise


class PluginConformance(ManifestPromises, BudgetPromises, PreparePromises, InterpretPromises, MediaPromises):
    """`plugin`: an instance. `outputs`: what its model answers, name -> (dtype, shape without the batch axis), where
    the plug-in does not state it as `model_outputs`. `limits`: what a call may cost."""


def promises() -> tuple[Promise, ...]:
    """All, in the order in which they are judged."""
    parts: tuple[type[Any], ...] = PluginConformance.__bases__
    return tuple(each.promise for part in parts for each in vars(part).values() if hasattr(each, "promise"))
