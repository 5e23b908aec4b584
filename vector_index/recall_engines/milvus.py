"""Milvus as recall engine, through pymilvus (the extra `milvus`).

One collection a space: primary key `row`, `vector` under inner product, and the labels as scalar fields. Searches ask
for strong consistency by default, so that what was acknowledged is found; `consistency=Session` is enough too, while
this process is the only writer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Literal, TypeVar

import grpc
import msgspec
import numpy as np

from materials.errors import Retryable, UsageError
from vector_index.recall_engines.protocol import Capabilities, CollectionLost, Labels, Matrix, Rows, no_hits
from vector_index.where import Where

SECONDS = 10.0
MAX_DIM = 32_768
MAX_K = 16_384
MAX_QUERIES = 1_000
"""Of one call: Milvus takes 16,384, and 64 MB."""
KIND_CHARACTERS, BIZ_CHARACTERS = 16, 128
COLLECTION_NOT_FOUND = 100

Consistency = Literal["Strong", "Session"]
Answer = TypeVar("Answer")


class MilvusSettings(msgspec.Struct, frozen=True):
    """How a Milvus is reached and used.

    Args:
        uri: `http://host:19530`, `https://…`.
        token: `user:password` or an API key; "" without.
        database: "" for the default one.
        index_type: of the vectors; AUTOINDEX leaves it to Milvus.
        index: its build parameters, e.g. `M`, `nlist`.
        search: its search parameters, e.g. `ef`, `nprobe`.
        consistency: of searches.
        seconds: deadline of one call.
    """

    uri: str
    token: str = ""
    database: str = ""
    index_type: str = "AUTOINDEX"
    index: dict[str, int | float | str] = {}
    search: dict[str, int | float | str] = {}
    consistency: Consistency = "Strong"
    seconds: float = SECONDS


class MilvusEngine:
    """A `RecallEngine`. No call is made before the first use; a lost connection is made anew by the next call.

    Raises:
        UsageError: pymilvus is not installed.
    """

    def __init__(self, settings: MilvusSettings) -> None:
        try:
            self._pymilvus: Any = import_module("pymilvus")
        except ImportError as error:
            raise UsageError(
                f"Milvus needs pymilvus ({error})", "install the extra: pip install 'sosie[milvus]'"
            ) from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a page for every error that it also raises
        self._settings = settings
        self._client: Any = None
        self._collection = ""
        self._dim = 0
        self._unsure = False

    @property
    def capabilities(self) -> Capabilities:
        """Deletes, filters and durable writes; a search may miss neighbours as its index does."""
        return Capabilities(
            reads_own_writes=True, deletes=True, filters=True, durable=True, max_dim=MAX_DIM, max_k=MAX_K
        )

    def exists(self, collection: str) -> bool:
        """Whether there is such a collection."""
        return bool(self._call(lambda client, seconds: client.has_collection(collection, timeout=seconds)))

    def open(self, collection: str, dim: int) -> None:
        """Use a collection; made, indexed and loaded where it is missing."""
        if not 1 < dim <= MAX_DIM:
            raise UsageError(f"vectors of {dim} dimensions", f"Milvus takes 2 to {MAX_DIM}")
        if self.exists(collection):
            there = self._dim_of(collection)
            if there != dim:
                raise UsageError(f"the collection {collection} has {there} dimensions, not {dim}", "use another")
            self._call(lambda client, seconds: client.load_collection(collection, timeout=seconds))
        else:
            self._call(lambda client, seconds: self._create(client, collection, dim, seconds))
        self._collection, self._dim = collection, dim

    def drop(self, collection: str) -> None:
        """Delete a collection; none is no error."""
        self._call(lambda client, seconds: client.drop_collection(collection, timeout=seconds))

    def upsert(self, rows: Rows, vectors: Matrix, labels: Sequence[Labels] | None = None) -> None:
        """Store or replace rows."""
        self._check(vectors)
        named = labels or [Labels()] * len(rows)
        data = [
            {
                "row": row,
                "vector": vector,
                "kind": label.kind[:KIND_CHARACTERS],
                "biz": label.biz[:BIZ_CHARACTERS],
                "created_at": label.created_at,
            }
            for row, vector, label in zip(rows.tolist(), vectors, named, strict=True)
        ]
        if data:
            self._call(lambda client, seconds: client.upsert(self._collection, data, timeout=seconds), of_rows=True)

    def delete(self, rows: Rows) -> None:
        """Forget rows."""
        if len(rows):
            self._call(
                lambda client, seconds: client.delete(self._collection, ids=rows.tolist(), timeout=seconds),
                of_rows=True,
            )

    def search(self, queries: Matrix, k: int, where: Where | None = None) -> tuple[Matrix, Rows]:
        """The nearest rows, by `MAX_QUERIES` a call."""
        self._check(queries)
        if not 1 <= k <= MAX_K:
            raise UsageError(f"k is {k}", f"1 to {MAX_K}")
        expression = expression_of(where)
        answers = [
            self._search(queries[start : start + MAX_QUERIES], k, expression)
            for start in range(0, len(queries), MAX_QUERIES)
        ]
        hits = [hits for answer in answers for hits in answer]
        width = max((len(one) for one in hits), default=0)
        scores, rows = no_hits(len(hits))
        if width:
            scores = np.full((len(hits), width), -np.inf, np.float32)
            rows = np.full((len(hits), width), -1, np.int64)
            for number, one in enumerate(hits):
                rows[number, : len(one)] = [hit["row"] for hit in one]
                scores[number, : len(one)] = [hit["distance"] for hit in one]
        return scores, rows

    def count(self) -> int:
        """Stored rows, counted by Milvus."""
        found = self._call(
            lambda client, seconds: client.query(
                self._collection,
                filter="",
                output_fields=["count(*)"],
                timeout=seconds,
                consistency_level=self._settings.consistency,
            ),
            of_rows=True,
        )
        return int(found[0]["count(*)"])

    def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    # --- inside ---

    def _search(self, queries: Matrix, k: int, expression: str) -> Any:
        return self._call(
            lambda client, seconds: client.search(
                self._collection,
                list(queries),
                filter=expression,
                limit=k,
                search_params={"metric_type": "IP", "params": self._settings.search},
                output_fields=["row"],
                timeout=seconds,
                consistency_level=self._settings.consistency,
            ),
            of_rows=True,
        )

    def _create(self, client: Any, collection: str, dim: int, seconds: float) -> None:
        kinds = self._pymilvus.DataType
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", kinds.INT64, is_primary=True)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
        schema.add_field("kind", kinds.VARCHAR, max_length=4 * KIND_CHARACTERS)  # bytes, not characters
        schema.add_field("biz", kinds.VARCHAR, max_length=4 * BIZ_CHARACTERS)
        schema.add_field("created_at", kinds.DOUBLE)
        index = client.prepare_index_params()
        index.add_index(
            "vector", index_type=self._settings.index_type, metric_type="IP", params=dict(self._settings.index)
        )
        client.create_collection(
            collection,
            schema=schema,
            index_params=index,
            consistency_level=self._settings.consistency,
            timeout=seconds,
        )

    def _dim_of(self, collection: str) -> int:
        there = self._call(lambda client, seconds: client.describe_collection(collection, timeout=seconds))
        dims = [int(field["params"]["dim"]) for field in there["fields"] if field["name"] == "vector"]
        if not dims:
            raise UsageError(f"the collection {collection} was not made by sosie", "use another")
        return dims[0]

    def _check(self, vectors: Matrix) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self._dim:
            raise UsageError(f"vectors of shape {vectors.shape} in a collection of {self._dim} dimensions")

    def _call(self, call: Callable[[Any, float], Answer], *, of_rows: bool = False) -> Answer:
        """One call, with house errors. `of_rows`: it needs the open collection loaded.

        Raises:
            Retryable: no connection, a timeout, limits, or anything else of the kind.
            UsageError: Milvus says that the call is wrong.
        """
        settings = self._settings
        try:
            if self._client is None:
                self._client = self._pymilvus.MilvusClient(
                    uri=settings.uri, token=settings.token, db_name=settings.database, timeout=settings.seconds
                )
            if of_rows and self._unsure:  # a server that came back may not have loaded it
                self._client.load_collection(self._collection, timeout=settings.seconds)
                self._unsure = False
            return call(self._client, settings.seconds)
        except (self._pymilvus.MilvusException, grpc.RpcError) as error:  # pymilvus lets some of gRPC's own through
            self._unsure = True
            raise self._typed(error) from error

    def _typed(self, error: Any) -> Exception:
        """UsageError only where trying again cannot help; the rest is kept and sent again."""
        code = error.code() if callable(getattr(error, "code", None)) else getattr(error, "code", "")
        message = getattr(error, "message", "") or str(error)
        line = f"Milvus at {self._settings.uri}: {message}"
        if code == COLLECTION_NOT_FOUND:
            return CollectionLost(line)
        wrong = isinstance(error, self._pymilvus.exceptions.ParamError) or getattr(error, "is_input_error", False)
        if wrong or code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return UsageError(line, "check the address, the token and the settings of --recall")
        return Retryable(line)


def expression_of(where: Where | None) -> str:
    """A filter in Milvus's language; "" allows all."""
    if where is None:
        return ""
    parts = []
    for name, values in (("kind", where.kinds), ("biz", where.biz)):
        if values:
            parts.append(f"{name} in [{', '.join(_quoted(value) for value in values)}]")
    if where.since is not None:
        parts.append(f"created_at >= {where.since!r}")
    if where.until is not None:
        parts.append(f"created_at < {where.until!r}")
    return " and ".join(parts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
