"""The operations of an OpenAPI document, with values that can be sent."""

from functools import cache
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Header, Query
from fastapi.security import HTTPBearer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from loadtests.plans import openapi

app = FastAPI()


class Line(BaseModel):
    sku: str = Field(examples=["A-1"])
    count: int = 1


class Order(BaseModel):
    line: Line
    note: str | None = None
    kind: Annotated[str, Field(json_schema_extra={"enum": ["gift", "own"]})]


class Bare(BaseModel):
    name: str
    size: int = Field(ge=3)


@app.get("/health")
def health() -> None: ...


@app.get("/items/{item}")
def item(
    item: int, region: Annotated[str, Query(examples=["eu"])], x_shop: Annotated[str, Header()] = ""
) -> None: ...


@app.get("/items", summary="All items")
def items(page: int = 2) -> None: ...


@app.post("/orders", status_code=201)
def order(order: Order) -> None: ...


@app.put("/bare")
def bare(bare: Bare) -> None: ...


@app.post("/quoted")
def quoted(
    value: Annotated[dict[str, Any], Body(openapi_examples={"one": {"value": {"a": [2]}}})],
) -> None: ...


@app.get("/mine", dependencies=[])
def mine() -> None: ...


document = app.openapi()
document["paths"]["/mine"]["get"]["security"] = [{HTTPBearer().scheme_name: []}]


@cache
def operations() -> list[openapi.Operation]:
    """Operations of the document, with all that can be generated, which takes long."""
    return openapi.operations(document)


def operation(name: str) -> openapi.Operation:
    return next(one for one in operations() if one.name == name)


def test_parameters_have_values_of_the_document():
    found = operation("GET /items/{item}")
    assert found.path == "/items/1?region=eu"
    assert found.missing == ()
    assert operation("GET /items").path == "/items"  # what is not required is left out


def test_a_body_has_the_examples_defaults_and_first_choices():
    found = operation("POST /orders")
    assert found.body == {"line": {"sku": "A-1", "count": 1}, "kind": "gift"}
    assert found.statuses == (201,)
    assert operation("POST /quoted").body == {"a": [2]}


def test_parameters_without_a_value_in_the_document_are_named(monkeypatch):
    monkeypatch.setattr(openapi, "_generator", lambda: None)
    found = next(one for one in openapi.operations(document) if one.name == "PUT /bare")
    assert found.body is None
    assert found.missing == ("a body: name (string)",)


def test_hypothesis_jsonschema_makes_missing_bodies():
    pytest.importorskip("hypothesis_jsonschema")
    found = operation("PUT /bare")
    assert found.missing == ()
    assert Bare.model_validate(found.body)


def test_credentials_are_named():
    assert operation("GET /mine").credentials == ("HTTPBearer",)


def test_the_first_operation_is_a_get_without_parameters_that_is_not_about_health():
    first = openapi.first(operations())
    assert first is not None
    assert first.name == "GET /items"
    assert openapi.first([]) is None


def test_an_operation_is_found_by_its_path_its_template_and_its_method():
    found = operations()
    assert [one.name for one in openapi.wanted(found, "/items/7?region=us")] == [
        "GET /items/{item}"
    ]
    assert [one.name for one in openapi.wanted(found, "/items/{item}")] == ["GET /items/{item}"]
    assert [one.name for one in openapi.wanted(found, "post /orders")] == ["POST /orders"]
    assert [*openapi.wanted(found, "GET /orders")] == []


KEYS = (
    *("get", "post", "parameters", "schema", "$ref", "type", "in", "name", "required", "items"),
    *("properties", "anyOf", "allOf", "requestBody", "content", "examples", "application/json"),
    *("responses", "security"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_document_gives_operations_or_none(value):
    openapi.operations({"paths": {"/a/{b}": value, "c": value}, "components": value})


def test_a_schema_that_holds_itself_has_an_end():
    schema = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#/s"}}}
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/s"}}}}
    (found,) = openapi.operations({"s": schema, "paths": {"/": {"post": {"requestBody": body}}}})
    assert found.missing
    loop = {"$ref": "#/loop"}
    assert openapi.operations({"loop": loop, "paths": {"/": {"get": {"parameters": [loop]}}}})
