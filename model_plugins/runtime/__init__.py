"""Runs plug-ins: which are active, their model calls, and what becomes of their failures."""

from model_plugins.runtime.inputs import check_inputs
from model_plugins.runtime.runtime import PluginRuntime

__all__ = ["PluginRuntime", "check_inputs"]
