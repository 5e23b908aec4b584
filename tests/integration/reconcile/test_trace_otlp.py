"""Traces over OTLP/HTTP, as a collector receives them: protobuf, W3C ids, one tree for all attempts."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.ports import choose
from reconcile.traces.context import root_span_id
from reconcile.traces.otlp import OtlpExporter
from reconcile.traces.records import Ending, Fragment, Span

TRACE, PRODUCER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes requests on a port of its own."""

    def __init__(self) -> None:
        self.spans: list[tuple[dict[str, str], object]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/x-protobuf"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    about = {each.key: each.value.string_value for each in group.resource.attributes}
                    outer.spans += [(about, span) for scope in group.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


def fragment(**changes: object) -> Fragment:
    given: dict[str, object] = {
        "trace_id": TRACE,
        "material_id": "P1",
        "process": "post@here:1",
        "name": "pass",
        "kind": "post",
        "job": "job-1",
        "parent_span": PRODUCER,
        "entered": 1_000,
    }
    return Fragment(**(given | changes))  # type: ignore[arg-type]


def test_a_collector_gets_one_tree_of_two_attempts(collector: Collector) -> None:
    exporter = OtlpExporter(collector.url)
    failed = [Span("assign", 2_000, 3_000, error="the index is away")]
    exporter.put(
        fragment(id="00000001", start=1_000, end=4_000, ending=Ending("retry", "the index is away"), spans=failed)
    )
    again = [Span("model", 6_000, 8_000, attributes={"model": "image-embedding"}), Span("model.call", 6_500, 7_500, 0)]
    exporter.put(
        fragment(id="00000002", start=5_000, end=9_000, attempt=2, ending=Ending("unique", attempts=2), spans=again)
    )
    exporter.close()
    spans = {(span.name, span.span_id.hex()): span for _, span in collector.spans}
    assert len(spans) == len(collector.spans) == 6
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert {about["service.name"] for about, _ in collector.spans} == {"sosie"}
    root = root_span_id(TRACE, "P1")
    parents = {name: span.parent_span_id.hex() for name, span in spans.items()}
    assert parents == {
        ("material", root): PRODUCER,
        ("pass", "0000000100000000"): root,
        ("pass", "0000000200000000"): root,
        ("assign", "0000000100000001"): "0000000100000000",
        ("model image-embedding", "0000000200000001"): "0000000200000000",
        ("model.call", "0000000200000002"): "0000000200000001",
    }
    whole = spans["material", root]
    assert (whole.start_time_unix_nano, whole.end_time_unix_nano) == (1_000, 9_000)
    wrong = spans["assign", "0000000100000001"]
    assert (wrong.status.code, wrong.status.message) == (2, "the index is away")


def test_a_collector_that_is_away_ends_nothing() -> None:
    [port] = choose(1, random.Random())
    exporter = OtlpExporter(f"http://127.0.0.1:{port}/v1/traces", timeout=0.2)
    exporter.put(fragment(id="00000001", start=1, end=2, ending=Ending("unique")))
    exporter.close()
