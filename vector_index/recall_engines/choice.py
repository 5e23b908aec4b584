"""`--recall SPACE=ENGINE[:ADDRESS]`: which engine holds which space.

`image-embedding=milvus:http://host:19530` sends every version of that embedding to Milvus. The address may carry
settings as a query: `?index=HNSW&index.M=32&search.ef=256&consistency=Session&database=sosie&seconds=5`, and
`token_file=PATH` or `token_env=NAME` for the credential, which therefore never stands in a command line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import structlog

from materials.errors import UsageError
from vector_index.recall_engines.buffered_space import BufferedSpace, Limits, check_promises
from vector_index.recall_engines.collection_names import CollectionNames
from vector_index.recall_engines.faiss_engine import FaissEngine
from vector_index.recall_engines.milvus import MilvusEngine, MilvusSettings
from vector_index.recall_engines.protocol import RecallEngine
from vector_index.spaces.protocol import Space

GROUP = "sosie.recall_engines"
"""Entry points of others: a callable that takes the address and makes a `RecallEngine`."""
SCHEMA = "vector"
NAMES_FOLDER = "recall"
EXAMPLE = "e.g. --recall image-embedding=milvus:http://127.0.0.1:19530"

logger = structlog.get_logger(__name__)
Maker = Callable[[], RecallEngine]


def maker_of(engine: str) -> Maker:
    """`ENGINE[:ADDRESS]` -> what makes such an engine. The address is checked here, nothing is connected.

    Raises:
        UsageError: an unknown engine, or a malformed address.
    """
    name, _, address = engine.partition(":")
    if name == "faiss":
        return FaissEngine
    if name == "milvus":
        settings = milvus_settings(address)
        return lambda: MilvusEngine(settings)
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            make = entry.load()
            return lambda: make(address)
    known = sorted({"faiss", "milvus", *(entry.name for entry in entry_points(group=GROUP))})
    raise UsageError(f"the recall engine {name!r} is unknown", f"one of {', '.join(known)}; {EXAMPLE}")


def milvus_settings(address: str, environment: Mapping[str, str] = os.environ) -> MilvusSettings:
    """An address with its query -> settings.

    Raises:
        UsageError: no http(s) address, an unknown setting, or a credential that cannot be read.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{address!r} is no address of Milvus", EXAMPLE)
    if parts.username or parts.password:
        raise UsageError("a password in the address of Milvus is seen by everybody", "use ?token_file=PATH")
    uri = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    plain: dict[str, str] = {}
    index: dict[str, int | float | str] = {}
    search: dict[str, int | float | str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name.startswith("index."):
            index[name.removeprefix("index.")] = _number(value)
        elif name.startswith("search."):
            search[name.removeprefix("search.")] = _number(value)
        elif name in ("index", "consistency", "database", "token_file", "token_env", "seconds"):
            plain[name] = value
        else:
            raise UsageError(f"the Milvus setting {name!r} is unknown", "see docs/scale.md")
    consistency = plain.get("consistency", "Strong")
    if consistency not in ("Strong", "Session"):
        raise UsageError(f"consistency {consistency!r} would not find what was just stored", "use Strong or Session")
    seconds = _number(plain.get("seconds", "10"))
    if isinstance(seconds, str) or not 0 < seconds <= 300:
        raise UsageError(f"seconds={plain['seconds']} is no deadline", "a number up to 300")
    return MilvusSettings(
        uri=uri,
        token=_token(plain, environment),
        database=plain.get("database", ""),
        index_type=plain.get("index", "AUTOINDEX"),
        index=index,
        search=search,
        consistency="Session" if consistency == "Session" else "Strong",
        seconds=float(seconds),
    )


def _token(plain: Mapping[str, str], environment: Mapping[str, str]) -> str:
    if "token_file" in plain:
        try:
            return Path(plain["token_file"]).read_text().strip()
        except OSError as error:
            raise UsageError(f"the token file of Milvus cannot be read ({error})", "check token_file=PATH") from error
    if "token_env" in plain:
        token = environment.get(plain["token_env"], "")
        if not token:
            raise UsageError(f"the environment variable {plain['token_env']} is empty", "set it to Milvus's token")
        return token
    return ""


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class RecallChoice:
    """Which spaces lie in an engine; all others stay in this process.

    Args:
        options: values of `--recall`.
        folder: the index's folder, where collection names are kept.

    Raises:
        UsageError: a malformed option, an unknown engine, one that promises too little, or a space named twice.
    """

    def __init__(self, options: Iterable[str], folder: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._folder = folder / NAMES_FOLDER
        self._limits = limits
        self._makers: dict[str, Maker] = {}
        named: set[str] = set()
        for option in options:
            space, separator, engine = option.partition("=")
            if not separator or not space or not engine:
                raise UsageError(f"--recall {option!r} is not SPACE=ENGINE", EXAMPLE)
            if space in named:
                raise UsageError(f"--recall names the space {space} twice", "give each one engine")
            named.add(space)
            if engine != "faiss":  # what every space is without this option
                self._makers[space] = maker_of(engine)
                check_promises(self._makers[space]().capabilities)  # now, not when the first row comes

    def space_for(self, key: str, schema: str) -> Space | None:
        """A new, empty space in its engine, None for one that stays in this process.

        A schema that no engine can hold stays here too, and the log says so: it is known only once the first row has
        been committed, too late to refuse it.

        Args:
            key: `name@version`; an option names either that or the name alone.
        """
        make = self._makers.get(key) or self._makers.get(key.partition("@")[0])
        if make is None:
            return None
        if schema != SCHEMA:
            logger.error("space stays in this process: engines hold vectors only", space=key, schema=schema)
            return None
        names = CollectionNames(self._folder / f"{key}.json", key)
        return BufferedSpace(make(), names, self._limits)
