"""What the gateway answers, over a real index and Redis: look-ups, members, caching, refusals, the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis
from gateway_probes import gateway
from index_items import free_port, image, near, post, server, vectors
from local_redis import LocalRedis

from materials.records import Assignment, Outcome
from pipeline.envelope import result_line
from vector_index.client import IndexClient
from vector_index.tokens import read_tokens

V = vectors(30, dim=64)
ABSENT = "feed-aaaaaaaaaaaaaaaa"


class World(msgspec.Struct, frozen=True):
    """What was decided before the questions."""

    http: httpx.Client
    index: str
    group: list[Assignment]
    posted: Assignment


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    store = LocalRedis(folder / "redis")
    store.start()
    index = f"127.0.0.1:{port}"
    try:
        with (
            server(folder / "index", port),
            IndexClient(index) as client,
            gateway(folder, index, store.url) as (address, _),
            httpx.Client(base_url=f"http://{address}", timeout=60) as http,
        ):
            group = client.assign([image(f"g{i}", near(V[0], 0.999, seed=i)) for i in range(7)])
            posted = client.assign([post("P", V[1], [V[2]])])[0]
            refused = Outcome(
                material_id="bad", revision=0, kind="image", outcome="rejected", reason="not_an_image: no picture"
            )
            with redis.Redis.from_url(store.url) as writing:
                writing.hset("sosie:outcome:bad", "feed", result_line(refused))
            yield World(http, index, group, posted)
    finally:
        store.kill()


def ask(world: World, path: str, status: int = 200, **more: Any) -> Any:
    answer = world.http.get(path, **more)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_one_material(world: World) -> None:
    told = ask(world, "/v1/materials/g3")
    assert (told["outcome"], told["kind"], told["content_id"]) == ("duplicate", "image", world.group[0].content_id)
    assert told["matched"]["relation"] == "same"
    part = ask(world, "/v1/materials/P/0")
    assert part["content_id"] == world.posted.parts[0].content_id
    assert ask(world, "/v1/materials/P")["parts"][0]["material_id"] == "P/0"
    refused = ask(world, "/v1/materials/bad")
    assert (refused["outcome"], refused["reason"]) == ("rejected", "not_an_image: no picture")


def test_a_thousand_materials_in_their_order(world: World) -> None:
    ids = [f"x{i}" for i in range(993)] + [f"g{i}" for i in range(7)]
    answer = world.http.post("/v1/lookup", json={"material_ids": ids}).json()
    assert [one["material_id"] for one in answer["results"]] == ids
    assert answer["found"] == 7
    assert {one["material"]["content_id"] for one in answer["results"][993:]} == {world.group[0].content_id}
    too_many = world.http.post("/v1/lookup", json={"material_ids": [*ids, "one-more"]})
    assert too_many.status_code == 422
    assert too_many.json()["errors"][0]["field"] == "body.material_ids"
    assert "1000" in too_many.json()["errors"][0]["remedy"]


def test_members_by_page_and_redirects(world: World) -> None:
    content_id = world.group[0].content_id
    seen, path = [], f"/v1/content/{content_id}/members?limit=3"
    for _ in range(3):
        answer = world.http.get(path)
        seen += answer.json()["material_ids"]
        assert answer.json()["total"] == 7
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert path == ""
    assert seen == [f"g{i}" for i in range(7)]
    assert ask(world, f"/v1/content/{content_id}") == {
        "content_id": content_id,
        "canonical": content_id,
        "redirected": False,
        "members": 7,
    }
    assert ask(world, f"/v1/content/{ABSENT}", 404)["type"].endswith("unknown-content")
    assert ask(world, f"/v1/content/{ABSENT}/members", 404)["type"].endswith("unknown-content")


def test_evidence_of_a_decision(world: World) -> None:
    told = ask(world, "/v1/materials/g6/evidence")
    assert told["material"]["material_id"] == "g6"
    scores = [one["score"] for one in told["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert told["candidates"][0]["ranker"]
    ask(world, "/v1/materials/nobody/evidence", 404)


@pytest.mark.parametrize(
    ("path", "field", "remedy"),
    [
        ("/v1/materials/g1?polcy=feed", "query.polcy", "did you mean policy?"),
        ("/v1/materials/g1?policy=feed&policy=feed", "query.policy", "give it once"),
        ("/v1/materials/g1?policy=Feed!", "query.policy", "as in feed"),
        (f"/v1/content/{ABSENT}/members?limit=0", "query.limit", "send 1 or more"),
        (f"/v1/content/{ABSENT}/members?after=x", "query.after", "send a whole number"),
        ("/health?verbose=1", "query.verbose", "known: none"),
    ],
)
def test_mistakes_name_the_field_and_the_remedy(world: World, path: str, field: str, remedy: str) -> None:
    problem = ask(world, path, 422)
    assert problem["errors"][0]["field"] == field
    assert remedy in problem["errors"][0]["remedy"]


@pytest.mark.parametrize(
    ("body", "field", "remedy"),
    [
        ({"material_ids": "g1"}, "body.material_ids", 'send a list, as in ["P1", "P2"]'),
        ({"material_ids": [7]}, "body.material_ids.0", "send a text in quotation marks"),
        ({"material_ids": []}, "body.material_ids", "send at least 1"),
        ({"material_ids": ["not an id"]}, "body.material_ids.0", "P1/0 is a post's first medium"),
        ({"material_ids": ["g1"], "policy": "Feed"}, "body.policy", "as in feed"),
        ({}, "body.material_ids", "send it"),
        ({"material_ids": ["g1"], "limit": 3}, "body.limit", "leave it out"),
        (["g1"], "body", 'send a JSON object, as in {"material_ids": ["P1"]}'),
        ("g1", "body", 'send a JSON object, as in {"material_ids": ["P1"]}'),
    ],
)
def test_a_wrong_body_is_told_what_would_be_right(world: World, body: Any, field: str, remedy: str) -> None:
    answer = world.http.post("/v1/lookup", json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert remedy in error["remedy"] == answer.json()["remedy"]
    assert "pattern" not in answer.text, "no regular expressions for people"


@pytest.mark.parametrize("path", ["/v1/lookup", "/v1/search/text"])
def test_a_body_that_is_no_json_is_told_where(world: World, path: str) -> None:
    as_json = {"content-type": "application/json"}
    broken = world.http.post(path, content=b'{\n  "material_ids": ["g1",]\n}', headers=as_json)
    assert broken.status_code == 400
    assert broken.json()["type"].endswith("malformed-body")
    assert "line 2, column 25 " in broken.json()["detail"]
    for wrong in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        refused = world.http.post(path, content=b'{"material_ids": ["g1"]}', headers=wrong)
        assert refused.status_code == 415, refused.text
        assert "Content-Type: application/json" in refused.json()["remedy"]
        assert refused.headers["accept"] == "application/json"
    nothing = world.http.post(path)
    assert (nothing.status_code, nothing.json()["errors"][0]["field"]) == (422, "body")
    fine = world.http.post("/v1/lookup", content=b'{"material_ids": ["g1"]}', headers={"content-type": "x"} | as_json)
    assert fine.status_code == 200


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/content/nope", "unknown-content"),
        ("/v1/content/nope/members", "unknown-content"),
        ("/v1/materials/not%20an%20id", "unknown-material"),
        ("/v1/materials/not%20an%20id/evidence", "unknown-material"),
    ],
)
def test_what_cannot_be_a_name_is_not_there(world: World, path: str, kind: str) -> None:
    problem = ask(world, path, 404)
    assert problem["type"].endswith(kind)
    assert "not written like" in problem["detail"]
    assert problem["remedy"]


def test_the_document_tells_of_bodies_only_where_there_is_one(world: World) -> None:
    paths = world.http.get("/openapi.json").json()["paths"]
    assert {"400", "404", "415", "422"} <= paths["/v1/lookup"]["post"]["responses"].keys()
    assert paths["/v1/content/{content_id}"]["get"]["responses"].keys() == {"200", "404", "422", "503"}


def test_other_refusals(world: World) -> None:
    unknown = ask(world, "/v1/materials/g1?policy=feet", 404)
    assert "did you mean 'feed'" in unknown["remedy"]
    assert ask(world, "/v2/x", 404)["type"].endswith("no-such-path")
    wrong = world.http.put("/v1/materials/g1")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    broken = world.http.post("/v1/lookup", content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 400
    deep = world.http.post("/v1/lookup", content=b"[" * 200_000, headers={"content-type": "application/json"})
    assert deep.status_code in (400, 422)
    assert "malformed-body" in deep.json()["type"]
    large = world.http.post("/v1/lookup", content=b" " * (1 << 21))
    assert large.status_code == 413
    stranger = world.http.get("/v1/materials/g1", headers={"host": "evil.example"})
    assert stranger.status_code == 421
    assert world.http.post("/v1/search/media", content=b"x", headers={"content-type": "text/html"}).status_code == 415
    assert world.http.post("/v1/search/media", content=b"").json()["type"].endswith("empty-body")


def test_answers_are_kept_but_asked_for_again(world: World) -> None:
    first = world.http.get("/v1/materials/g1")
    assert first.headers["cache-control"] == "private, no-cache"
    again = world.http.get("/v1/materials/g1", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = world.http.get("/v1/materials/g2", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200
    assert world.http.get("/openapi.json").headers["cache-control"] == "public, max-age=300"
    assert world.http.post("/v1/lookup", json={"material_ids": ["g1"]}).headers["cache-control"] == "no-store"


def test_health_and_metrics(world: World) -> None:
    assert ask(world, "/health") == {"status": "ok", "parts": {"index": "ok", "redis": "ok"}}
    text = world.http.get("/metrics").text
    assert 'sosie_gateway_requests_total{method="GET",route="/v1/materials/{material_id:path}",status="200"}' in text
    assert "g3" not in text


def test_the_page_shows_a_group_and_escapes_what_it_is_asked(world: World) -> None:
    page = world.http.get("/", params={"q": "g2"})
    assert page.headers["content-type"].startswith("text/html")
    assert f"7 materials with <code>{world.group[0].content_id}</code>" in page.text
    assert all(f">g{i}</code>" in page.text for i in range(7))
    assert "http" not in page.text.replace("http-equiv", "")  # nothing is loaded from elsewhere
    assert "script" not in page.text
    assert world.http.get("/", params={"q": world.group[0].content_id}).text.count("<li>") == 7
    assert "no picture" in world.http.get("/", params={"q": "bad"}).text
    attack = world.http.get("/", params={"q": "<script>alert(1)</script>", "policy": '"><img>'}).text
    assert "<script" not in attack
    assert "<img" not in attack
    assert "No material" in world.http.get("/", params={"q": "nobody"}).text


def test_a_read_token(world: World, tmp_path: Path) -> None:
    file = tmp_path / "read.token"
    with gateway(tmp_path, world.index, "redis://127.0.0.1:1/0", "--read-token-file", str(file)) as (address, _):
        token = read_tokens(file)[0]
        with httpx.Client(base_url=f"http://{address}", timeout=60) as http:
            refused = http.get("/v1/materials/g1")
            assert refused.status_code == 401
            assert "Bearer" in refused.headers["www-authenticate"]
            assert http.get("/health/live").status_code == 200
            assert http.get("/v1/materials/g1", headers={"authorization": f"Bearer {token}"}).status_code == 200
            assert http.get("/", params={"q": "g1"}, auth=("me", token)).status_code == 200
            assert http.get("/", auth=("me", "wrong")).status_code == 401
            secured = http.get("/openapi.json", headers={"authorization": f"Bearer {token}"}).json()
            assert secured["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
            away = http.get("/v1/materials/nobody", headers={"authorization": f"Bearer {token}"})
            assert (away.status_code, away.headers["retry-after"]) == (503, "1")
            assert json.loads(http.get("/health").text)["status"] == "degraded"
