"""The API against its own OpenAPI schema: requests made from the schema, answers checked by it (schemathesis)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from mien.recognize.recognizer import Recognizer
from mien.serve.access import Access
from mien.serve.api import create_app
from mien.serve.limits import Limits
from mien.serve.refusal import KINDS

schemathesis = pytest.importorskip("schemathesis")
GenerationMode = schemathesis.GenerationMode
PORTRAIT = Path(__file__).parents[2] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
TOKEN = "correct horse battery"
FEW = settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)

for kind in ("image/jpeg", "image/png", "image/webp"):
    schemathesis.openapi.media_type(kind, st.one_of(st.just(PORTRAIT.read_bytes()), st.binary(max_size=200)))


@pytest.fixture(scope="module")
def api() -> Any:
    recognizer = Recognizer("mien-tiny", detector="fast", threads=1)
    app = create_app({"mien-tiny": recognizer}, limits=Limits(request_bytes=200_000))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    "path", ["POST /v1/recognize", "GET /v1/models", "GET /healthz", "GET /readyz", "GET /metrics"]
)
def test_answers_are_those_of_the_schema(api: Any, path: str) -> None:
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    method, _, place = path.partition(" ")
    statuses = set()

    @FEW
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if method == "POST" else [GenerationMode.POSITIVE]
        case = data.draw(api[place][method].as_strategy(generation_mode=data.draw(st.sampled_from(modes))))
        # Any string is base64 to the schema, and any bytes are a picture; the server refuses those that are not.
        statuses.add(case.call_and_validate(excluded_checks=[positive_data_acceptance]).status_code)

    check()
    assert statuses >= ({200, 400, 422} if method == "POST" else {200})


def test_the_schema_tells_of_the_token() -> None:
    recognizer = Recognizer("mien-tiny", detector="fast", threads=1)
    client = TestClient(create_app({"mien-tiny": recognizer}, access=Access(token=TOKEN)))
    told = client.get("/openapi.json").json()
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert told["security"] == [{"token": []}]
    assert told["paths"]["/healthz"]["get"]["security"] == []
    assert set(told["paths"]) == {"/v1/recognize", "/v1/models", "/healthz", "/readyz", "/metrics"}
    assert told["components"]["schemas"]["RecognizeRequest"]["properties"]["images"]["minItems"] == 1


def test_the_schema_tells_of_every_problem_where_the_server_is_and_what_each_operation_is_called() -> None:
    recognizer = Recognizer("mien-tiny", detector="fast", threads=1)
    client = TestClient(create_app({"mien-tiny": recognizer}, access=Access(root_path="/mien")))
    told = client.get("/openapi.json").json()
    assert [server["url"] for server in told["servers"]] == ["/mien"]
    operations = {one["operationId"]: one for path in told["paths"].values() for one in path.values()}
    assert set(operations) == {"recognize", "list_models", "health", "ready", "metrics"}
    codes = str({name: [a["description"] for a in one["responses"].values()] for name, one in operations.items()})
    assert [code for code in KINDS if f"`{code}`" not in codes] == ["unknown_path", "wrong_method", "client_gone"]
    for operation in operations.values():
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"]
    assert set(told["components"]["schemas"]["Problem"]["required"]) == {"title", "status", "detail", "code"}
