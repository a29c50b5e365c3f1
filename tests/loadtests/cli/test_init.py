"""`brownout init`: a plan for a service of one's own, which is asked for its OpenAPI document."""

import os
import pty
import subprocess
import sys

import pytest

from loadtests import plans
from tests.support.brownout_runs import COMMAND, called

pytestmark = pytest.mark.processes

SERVICE = """
import os
from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()

class Order(BaseModel):
    sku: str = Field(examples=["A-1"])
    count: int = 1

@app.get("/quote", summary="What it costs")
def quote(): return {}

@app.post("/orders", status_code=201)
def order(order: Order): return {}

@app.get("/health")
def health(): return {}
"""
UVICORN = f"{sys.executable} -m uvicorn main:app"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "main.py").write_text(SERVICE, encoding="utf-8")
    return tmp_path


def test_a_fastapi_service_gives_its_paths_and_bodies(folder):
    code, found = called("init", "--command", UVICORN, "--path", "POST /orders", cwd=folder)
    assert code == 0, found.output
    plan = plans.read(folder / "brownout.toml")
    mine, (request,) = plan.deployments["mine"], plan.requests
    assert mine.command == f"{UVICORN} --port {{port}}"
    assert mine.ready.path == "/health"
    assert (request.method, request.path) == ("POST", "/orders")
    assert request.payload == {"sku": "A-1", "count": 1}
    assert request.expect.status == (201,)
    text = (folder / "brownout.toml").read_text(encoding="utf-8")
    assert '# [[requests]]   # What it costs\n# path = "/quote"' in text
    assert "Wrote brownout.toml: POST /orders." in found.output
    assert "--upstream-variable NAME" in found.output
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "brownout.toml",
        "main.py",
    ]


def test_a_file_is_overwritten_only_with_force(folder):
    kept = folder / "brownout.toml"
    kept.write_text("mine", encoding="utf-8")
    code, found = called("init", "--url", "http://127.0.0.1:9", cwd=folder)
    assert code == 2
    assert "brownout.toml exists and was not changed. --force overwrites it" in found.output
    assert kept.read_text(encoding="utf-8") == "mine"


def test_a_service_that_does_not_start_still_gets_a_plan(folder, free_port):
    words = ["init", "--command", f"{UVICORN}x --port 8000", "--path", "/quote"]
    code, found = called(*words, "--upstream-variable", "SHOP_URL", cwd=folder)
    assert code == 0, found.output
    assert "deployment 'mine' ended with exit code" in found.output
    assert "The whole log" not in found.output
    assert "and answer 200 to 599 to GET /openapi.json" in found.output
    plan = plans.read(folder / "brownout.toml")
    assert plan.deployments["mine"].env == {"SHOP_URL": "{upstream}"}
    url = f"http://127.0.0.1:{free_port}"
    code, found = called("init", "--url", url, "--file", "url.toml", cwd=folder)
    assert code == 0, found.output
    assert f"{url} gives no answer: the connection was refused." in found.output
    assert plans.read(folder / "url.toml").deployments["mine"].url == url


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Give --command 'uvicorn main:app --port {port}', or --url"),
        (("--command", "a {port}", "--url", "http://127.0.0.1:9"), "exclude each other"),
        (("--command", "./serve"), "needs {port} where the port belongs"),
        (("--url", "http://example.invalid:9"), "example.invalid"),
        (("--url", "127.0.0.1:9"), "is not the URL of a service"),
    ],
)
def test_invalid_values_are_refused_and_nothing_is_written(tmp_path, words, says):
    code, found = called("init", *words, cwd=tmp_path)
    assert code == 2
    assert says in " ".join(found.output.split())
    assert list(tmp_path.iterdir()) == []


def test_init_asks_on_a_terminal_and_finds_variables_only_on_request(folder):
    ours, theirs = pty.openpty()
    variables = {"SHOP_UPSTREAM": "secret", "HTTPS_PROXY_URL": "x", "BROWNOUT_URL": "x"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with subprocess.Popen(
        [*COMMAND, "init", "--from-environment"],
        cwd=folder,
        env={**kept, **variables, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = b""
        for wanted, answer in (
            (b"or a URL: ", f"{UVICORN} --port 80\n"),
            (b"nothing for one of them: ", "9\n"),
            (b"is not a list of numbers from 1 to 3.", "1,2\n"),
            (b"SHOP_UPSTREAM)? Nothing if none does: ", "SHOP_UPSTREAM\n"),
        ):
            while wanted not in said:
                said += os.read(ours, 4096)
            os.write(ours, answer.encode())
        code = process.wait(60)
    os.close(ours)
    assert code == 0
    assert b"secret" not in said
    plan = plans.read(folder / "brownout.toml")
    assert [request.path for request in plan.requests] == ["/quote", "/orders"]
    assert plan.deployments["mine"].env == {"SHOP_UPSTREAM": "{upstream}"}
