"""What a worker believes of a hosted plug-in's answer: nothing that it has not checked. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from model_plugins.hosting.limits import HostLimits
from model_plugins.hosting.shared_memory import ArrayRef
from model_plugins.protocol import Manifest
from model_plugins.transports.kserve import numpy_dtype

_DTYPE = re.compile(r"[<>|=]?(\?|b1|[iu][1248]|f[248]|c(8|16)|[SU][0-9]{1,6})")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MAX_DIMENSIONS = 32
_MAX_NAME = 128
_MAX_TEXT = 2000
_MAX_BATCH = 65536
_MAX_NEEDS = 64
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def check_refs(refs: Sequence[ArrayRef], limits: HostLimits) -> None:
    """The references of one answer are few, well formed and not too large.

    Raises:
        ValueError: with what is wrong.
    """
    if len(refs) > limits.max_arrays:
        raise ValueError(f"answered {len(refs)} arrays; {limits.max_arrays} are allowed")
    total = 0
    for ref in refs:
        if not 1 <= len(ref.name) <= _MAX_NAME:
            raise ValueError(f"gave an array a name of {len(ref.name)} characters")
        if not _DTYPE.fullmatch(ref.dtype):
            raise ValueError(f"answered {ref.name!r} as dtype {ref.dtype[:20]!r}; plain numbers and bytes are allowed")
        if len(ref.shape) > _MAX_DIMENSIONS or min(ref.shape, default=0) < 0 or ref.offset < 0:
            raise ValueError(f"answered {ref.name!r} in an impossible shape")
        # an empty string type counts one byte: numpy makes it one when it copies
        total += math.prod(ref.shape) * max(1, np.dtype(ref.dtype).itemsize)
        if total > limits.max_result_bytes or ref.offset > 4 * limits.max_result_bytes:
            raise ValueError(f"answered more than {limits.max_result_bytes // 1024**2} MiB")
    if len({ref.name for ref in refs}) < len(refs):
        raise ValueError("answered two arrays of one name")


def check_feature(refs: Sequence[ArrayRef], manifest: Manifest) -> None:
    """The one array of a feature has the schema that the manifest declares, and a dtype that features can have.

    Raises:
        ValueError: with what is wrong.
    """
    if len(refs) != 1:
        raise ValueError(f"answered {len(refs)} arrays as one feature")
    if refs[0].name != manifest.schema:
        raise ValueError(f"gave a feature of schema {refs[0].name[:60]!r}; its manifest says {manifest.schema!r}")
    if np.dtype(refs[0].dtype).kind not in "biuf":
        raise ValueError(f"gave a feature of dtype {refs[0].dtype!r}; numbers are allowed")


def check_manifest(manifest: Manifest) -> None:
    """Well formed, and of bounded size.

    Raises:
        ValueError: with what is wrong.
    """
    if not _NAME.fullmatch(manifest.name) or len(manifest.name) > _MAX_NAME:
        raise ValueError(f"is called {manifest.name[:60]!r}; small letters, digits and hyphens are allowed")
    if not 1 <= manifest.version < 2**31:
        raise ValueError(f"has version {manifest.version}; versions start at 1")
    if not 1 <= len(manifest.schema) <= _MAX_NAME or len(manifest.summary) > _MAX_TEXT:
        raise ValueError("needs a schema of at most 128 characters, and a summary of at most 2000")
    if not 0 <= manifest.min_side <= _MAX_BATCH:
        raise ValueError(f"asks for a shorter side of {manifest.min_side} pixels")
    model = manifest.model
    if model is None:
        return
    if not 1 <= model.max_batch <= _MAX_BATCH or not 1 <= len(model.name) <= _MAX_NAME or "/" in model.name:
        raise ValueError("names a model that cannot be: its name or its largest batch")
    if not model.inputs or not model.outputs:
        raise ValueError("names a model without inputs or outputs")
    for name, (dtype, shape) in model.inputs.items():
        numpy_dtype(dtype)
        if len(name) > _MAX_NAME or len(shape) > _MAX_DIMENSIONS or min(shape, default=1) < -1:
            raise ValueError(f"declares the input {name[:60]!r} in an impossible shape")


def check_needs(needs: Sequence[str]) -> None:
    """Names of plug-ins, and not too many.

    Raises:
        ValueError: with what is wrong.
    """
    wrong = [name for name in needs if not _NAME.fullmatch(name) or len(name) > _MAX_NAME]
    if wrong or len(needs) > _MAX_NEEDS:
        raise ValueError(f"needs {len(needs)} plug-ins, of which {len(wrong)} have no possible name")


def checked_rejection(code: str, sentence: str) -> tuple[str, str]:
    """A refusal as outcome records can carry it: a code that is one, and one line of bounded length."""
    return code if _CODE.fullmatch(code) else "rejected_by_plugin", " ".join(sentence.split())[:_MAX_TEXT]
