"""Whether a plug-in keeps the promises of the protocol: a test class for authors, and a check in a child process."""

from model_plugins.conformance.limits import Limits
from model_plugins.conformance.report import Measured, Report, Result
from model_plugins.conformance.suite import PluginConformance, promises
from model_plugins.conformance.supervise import supervise
from model_plugins.conformance.targets import Target, resolve, target_of

__all__ = [
    "Limits",
    "Measured",
    "PluginConformance",
    "Report",
    "Result",
    "Target",
    "promises",
    "resolve",
    "supervise",
    "target_of",
]
