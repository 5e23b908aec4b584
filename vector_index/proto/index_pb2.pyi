from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Feature(_message.Message):
    __slots__ = ("schema", "dtype", "shape", "data")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    schema: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, schema: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("material_id", "kind", "policy", "fingerprint", "revision", "features", "text", "parts", "biz", "created_at", "op")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Feature
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Feature, _Mapping]] = ...) -> None: ...
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    BIZ_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    material_id: str
    kind: str
    policy: str
    fingerprint: bytes
    revision: int
    features: _containers.MessageMap[str, Feature]
    text: str
    parts: _containers.RepeatedCompositeFieldContainer[Item]
    biz: str
    created_at: float
    op: str
    def __init__(self, material_id: _Optional[str] = ..., kind: _Optional[str] = ..., policy: _Optional[str] = ..., fingerprint: _Optional[bytes] = ..., revision: _Optional[int] = ..., features: _Optional[_Mapping[str, Feature]] = ..., text: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., biz: _Optional[str] = ..., created_at: _Optional[float] = ..., op: _Optional[str] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("q0", "q1", "r0", "r1")
    Q0_FIELD_NUMBER: _ClassVar[int]
    Q1_FIELD_NUMBER: _ClassVar[int]
    R0_FIELD_NUMBER: _ClassVar[int]
    R1_FIELD_NUMBER: _ClassVar[int]
    q0: float
    q1: float
    r0: float
    r1: float
    def __init__(self, q0: _Optional[float] = ..., q1: _Optional[float] = ..., r0: _Optional[float] = ..., r1: _Optional[float] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("material_id", "score", "relation", "recall_score", "ranker", "content_id", "segments")
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    RECALL_SCORE_FIELD_NUMBER: _ClassVar[int]
    RANKER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    material_id: str
    score: float
    relation: str
    recall_score: float
    ranker: str
    content_id: str
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    def __init__(self, material_id: _Optional[str] = ..., score: _Optional[float] = ..., relation: _Optional[str] = ..., recall_score: _Optional[float] = ..., ranker: _Optional[str] = ..., content_id: _Optional[str] = ..., segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("material_id", "kind", "outcome", "content_id", "revision", "matched", "candidates", "parts", "replayed", "reason")
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    material_id: str
    kind: str
    outcome: str
    content_id: str
    revision: int
    matched: Candidate
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    parts: _containers.RepeatedCompositeFieldContainer[Assignment]
    replayed: bool
    reason: str
    def __init__(self, material_id: _Optional[str] = ..., kind: _Optional[str] = ..., outcome: _Optional[str] = ..., content_id: _Optional[str] = ..., revision: _Optional[int] = ..., matched: _Optional[_Union[Candidate, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ..., replayed: bool = ..., reason: _Optional[str] = ...) -> None: ...

class AssignRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ...) -> None: ...

class AssignResponse(_message.Message):
    __slots__ = ("assignments",)
    ASSIGNMENTS_FIELD_NUMBER: _ClassVar[int]
    assignments: _containers.RepeatedCompositeFieldContainer[Assignment]
    def __init__(self, assignments: _Optional[_Iterable[_Union[Assignment, _Mapping]]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("item", "k", "biz", "since", "until")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    BIZ_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    item: Item
    k: int
    biz: _containers.RepeatedScalarFieldContainer[str]
    since: float
    until: float
    def __init__(self, item: _Optional[_Union[Item, _Mapping]] = ..., k: _Optional[int] = ..., biz: _Optional[_Iterable[str]] = ..., since: _Optional[float] = ..., until: _Optional[float] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("candidates",)
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("material_ids", "policy", "brief")
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    material_ids: _containers.RepeatedScalarFieldContainer[str]
    policy: str
    brief: bool
    def __init__(self, material_ids: _Optional[_Iterable[str]] = ..., policy: _Optional[str] = ..., brief: bool = ...) -> None: ...

class Found(_message.Message):
    __slots__ = ("assignment", "content_id")
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    assignment: Assignment
    content_id: str
    def __init__(self, assignment: _Optional[_Union[Assignment, _Mapping]] = ..., content_id: _Optional[str] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: _containers.RepeatedCompositeFieldContainer[Found]
    def __init__(self, found: _Optional[_Iterable[_Union[Found, _Mapping]]] = ...) -> None: ...

class ContentId(_message.Message):
    __slots__ = ("content_id",)
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    def __init__(self, content_id: _Optional[str] = ...) -> None: ...

class MembersResponse(_message.Message):
    __slots__ = ("material_ids",)
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    material_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, material_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ResolveResponse(_message.Message):
    __slots__ = ("content_id",)
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    def __init__(self, content_id: _Optional[str] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatsResponse(_message.Message):
    __slots__ = ("materials", "content_ids", "sequence", "snapshot_sequence", "spaces", "counters")
    class SpacesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class CountersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    MATERIALS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_IDS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SPACES_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    materials: int
    content_ids: int
    sequence: int
    snapshot_sequence: int
    spaces: _containers.ScalarMap[str, int]
    counters: _containers.ScalarMap[str, int]
    def __init__(self, materials: _Optional[int] = ..., content_ids: _Optional[int] = ..., sequence: _Optional[int] = ..., snapshot_sequence: _Optional[int] = ..., spaces: _Optional[_Mapping[str, int]] = ..., counters: _Optional[_Mapping[str, int]] = ...) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotResponse(_message.Message):
    __slots__ = ("sequence",)
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    def __init__(self, sequence: _Optional[int] = ...) -> None: ...

class Enrichment(_message.Message):
    __slots__ = ("material_id", "revision", "features")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Feature
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Feature, _Mapping]] = ...) -> None: ...
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    material_id: str
    revision: int
    features: _containers.MessageMap[str, Feature]
    def __init__(self, material_id: _Optional[str] = ..., revision: _Optional[int] = ..., features: _Optional[_Mapping[str, Feature]] = ...) -> None: ...

class EnrichRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Enrichment]
    def __init__(self, items: _Optional[_Iterable[_Union[Enrichment, _Mapping]]] = ...) -> None: ...

class EnrichResponse(_message.Message):
    __slots__ = ("added", "passed_over")
    ADDED_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    added: int
    passed_over: int
    def __init__(self, added: _Optional[int] = ..., passed_over: _Optional[int] = ...) -> None: ...

class LackingRequest(_message.Message):
    __slots__ = ("has", "lacks", "after", "limit")
    HAS_FIELD_NUMBER: _ClassVar[int]
    LACKS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    has: str
    lacks: str
    after: int
    limit: int
    def __init__(self, has: _Optional[str] = ..., lacks: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class Stored(_message.Message):
    __slots__ = ("row", "material_id", "kind", "revision")
    ROW_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    row: int
    material_id: str
    kind: str
    revision: int
    def __init__(self, row: _Optional[int] = ..., material_id: _Optional[str] = ..., kind: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class LackingResponse(_message.Message):
    __slots__ = ("materials",)
    MATERIALS_FIELD_NUMBER: _ClassVar[int]
    materials: _containers.RepeatedCompositeFieldContainer[Stored]
    def __init__(self, materials: _Optional[_Iterable[_Union[Stored, _Mapping]]] = ...) -> None: ...

class SearchBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[SearchRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[SearchRequest, _Mapping]]] = ...) -> None: ...

class SearchBatchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[SearchResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[SearchResponse, _Mapping]]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("material_ids", "policy")
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    material_ids: _containers.RepeatedScalarFieldContainer[str]
    policy: str
    def __init__(self, material_ids: _Optional[_Iterable[str]] = ..., policy: _Optional[str] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: _containers.RepeatedCompositeFieldContainer[Found]
    def __init__(self, found: _Optional[_Iterable[_Union[Found, _Mapping]]] = ...) -> None: ...

class MembersPageRequest(_message.Message):
    __slots__ = ("content_id", "after", "limit")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    after: int
    limit: int
    def __init__(self, content_id: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class MembersPageResponse(_message.Message):
    __slots__ = ("content_id", "material_ids", "next", "total")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    material_ids: _containers.RepeatedScalarFieldContainer[str]
    next: int
    total: int
    def __init__(self, content_id: _Optional[str] = ..., material_ids: _Optional[_Iterable[str]] = ..., next: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class HealthResponse(_message.Message):
    __slots__ = ("status",)
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[HealthResponse.Status]
        SERVING: _ClassVar[HealthResponse.Status]
        NOT_SERVING: _ClassVar[HealthResponse.Status]
        SERVICE_UNKNOWN: _ClassVar[HealthResponse.Status]
    UNKNOWN: HealthResponse.Status
    SERVING: HealthResponse.Status
    NOT_SERVING: HealthResponse.Status
    SERVICE_UNKNOWN: HealthResponse.Status
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: HealthResponse.Status
    def __init__(self, status: _Optional[_Union[HealthResponse.Status, str]] = ...) -> None: ...

class MergeRequest(_message.Message):
    __slots__ = ("one", "other", "who", "why", "score")
    ONE_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    one: str
    other: str
    who: str
    why: str
    score: float
    def __init__(self, one: _Optional[str] = ..., other: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class SplitRequest(_message.Message):
    __slots__ = ("content_id", "material_ids", "who", "why")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    material_ids: _containers.RepeatedScalarFieldContainer[str]
    who: str
    why: str
    def __init__(self, content_id: _Optional[str] = ..., material_ids: _Optional[_Iterable[str]] = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class JudgeRequest(_message.Message):
    __slots__ = ("policy", "one", "other", "verdict", "withdraw", "who", "why")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ONE_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    policy: str
    one: str
    other: str
    verdict: str
    withdraw: bool
    who: str
    why: str
    def __init__(self, policy: _Optional[str] = ..., one: _Optional[str] = ..., other: _Optional[str] = ..., verdict: _Optional[str] = ..., withdraw: bool = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ("content_id", "material_id", "policy")
    CONTENT_ID_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    content_id: str
    material_id: str
    policy: str
    def __init__(self, content_id: _Optional[str] = ..., material_id: _Optional[str] = ..., policy: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("one", "other", "policy")
    ONE_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    one: str
    other: str
    policy: str
    def __init__(self, one: _Optional[str] = ..., other: _Optional[str] = ..., policy: _Optional[str] = ...) -> None: ...

class MergeProposalsRequest(_message.Message):
    __slots__ = ("policy", "after", "limit")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    policy: str
    after: int
    limit: int
    def __init__(self, policy: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ContentAnswer(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...
