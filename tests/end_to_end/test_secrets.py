"""What a real run leaves of the secrets of its plan: in its folder, and on the terminal."""

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests import environment
from tests.support.brownout_runs import BUDGET, Invocation, called, finished

pytestmark = pytest.mark.processes

# It writes down what it gets, and says too much in its log.
SERVICE = """
import http.server, json, os, sys

port, *words = sys.argv[1:]
names = ("APP_PASSWORD", "DATABASE_URL", "FROM_FILE", "FROM_ENV", "BROWNOUT_PASSWORD")
variables = {name: os.environ.get(name) for name in names}
print("started with", words, variables, flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        seen = {"words": words, "env": variables, "path": self.path, "body": body}
        seen["headers"] = dict(self.headers)
        with open(os.environ["SEEN"], "w") as file:
            json.dump(seen, file)
        print("got", self.path, dict(self.headers), body, flush=True)
        self.answer(302 if self.path.startswith("/elsewhere") else 200)

    def do_GET(self):
        self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        if status == 302:
            self.send_header("location", self.path + "&token=" + variables["APP_PASSWORD"])
        self.end_headers()

    def log_message(self, *_):
        pass

if "end" in words:
    sys.exit("cannot log in with " + variables["FROM_ENV"])
http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""
PLAN = f"""
name = "shop"
telemetry = false
[upstream]
latency = "5ms"
{BUDGET}
[deployments.own]
command = [
  "python", "service.py", "{{port}}",
  "--token", "argv-literal-1", "--key={{env.SHOP_ARGV}}", "--name={{env.SHOP_NAME}}",
]
env.APP_PASSWORD = "env-literal-1"
env.DATABASE_URL = "postgres://app:url-literal-1@db/shop"
env.FROM_FILE = "{{file.token.txt}}"
env.FROM_ENV = "{{env.SHOP_ENV}}"
env.SEEN = "SEEN-FILE"
[[requests]]
method = "POST"
path = "/pay?api_key=path-literal-1&more={{env.SHOP_PATH}}"
name = "pay"
headers = {{ Authorization = "Bearer header-literal-1", X-Who = "{{env.SHOP_HEADER}}" }}
json = {{ user = "me", password = "body-literal-1", note = "{{env.SHOP_BODY}}" }}
[[requests]]
method = "POST"
path = "/elsewhere?x=1"
name = "elsewhere"
body = "secret=form-literal-1"
expect = {{ status = 302 }}
weight = 0.2
[[requests]]
method = "POST"
path = "/elsewhere?x=2"
name = "failing"
body = ""
weight = 0.2
[load]
levels = [2]
settle = "250ms"
measure = "1s"
"""
PASSWORD = "the-password-of-the-ui"
VALUES = {
    "SHOP_ARGV": "placeholder-argv-1",
    "SHOP_NAME": "placeholder-name-1",
    "SHOP_ENV": "placeholder-env-1",
    "SHOP_PATH": "placeholder-path-1",
    "SHOP_HEADER": "placeholder-header-1",
    "SHOP_BODY": 'placeholder-"body"-1',
}
SECRETS = (
    *(f"{place}-literal-1" for place in ("argv", "env", "url", "path", "header", "body", "form")),
    *(f"placeholder-{place}-1" for place in ("argv", "name", "env", "path", "header", "file")),
    "placeholder-",
    PASSWORD,
)


@dataclass(frozen=True)
class Played:
    cwd: Path
    code: int
    invocation: Invocation
    folder: Path


def prepared(folder: Path) -> Path:
    (folder / "service.py").write_text(SERVICE, encoding="utf-8")
    (folder / "token.txt").write_text("placeholder-file-1\n", encoding="utf-8")
    text = PLAN.replace("SEEN-FILE", str(folder / "seen.json"))
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Played:
    cwd = prepared(tmp_path_factory.mktemp("secrets"))
    env = {**VALUES, environment.PASSWORD: PASSWORD}
    code, invocation = finished("run", "plan.toml", "--unresolved", "pass", cwd=cwd, **env)
    assert code in (0, 3), invocation.output  # a busy machine invalidates, which is not the point
    return Played(cwd, code, invocation, cwd / invocation.lines[-1].strip())


def test_the_service_gets_every_secret_and_none_of_ours(played):
    text = (played.cwd / "seen.json").read_text(encoding="utf-8")
    assert '"--token", "argv-literal-1", "--key=placeholder-argv-1"' in text
    assert '"--name=placeholder-name-1"' in text
    assert '"FROM_FILE": "placeholder-file-1", "FROM_ENV": "placeholder-env-1"' in text
    assert "postgres://app:url-literal-1@db/shop" in text
    assert '"BROWNOUT_PASSWORD": null' in text


def test_the_generator_sends_every_secret(played):
    log = (played.folder / "logs" / "own.log").read_text(encoding="utf-8")
    assert "got /pay?api_key={redacted}&more={redacted}" in log  # each of them was there
    assert "'X-Who': '{redacted}'" in log
    assert "Bearer {redacted}" in log
    assert "{env." not in log
    assert "header-literal-1" not in log


def test_no_file_of_the_run_and_no_line_on_the_terminal_holds_a_secret(played):
    texts = {str(path): path.read_bytes() for path in played.folder.rglob("*") if path.is_file()}
    assert {Path(name).name for name in texts} >= {
        *("plan.toml", "run.json", "report.html", "slices.jsonl", "junit.xml", "own.log"),
        "generator.log",
    }
    texts["the terminal"] = played.invocation.output.encode()
    leaked = [
        (name, secret)
        for name, content in texts.items()
        for secret in SECRETS
        if secret.encode() in content
    ]
    assert leaked == []
    run = (played.folder / "run.json").read_text(encoding="utf-8")
    for recorded in ("{env.SHOP_ARGV}", "{env.SHOP_HEADER}", "{env.SHOP_BODY}", "/token.txt}"):
        assert recorded in run


def test_a_runs_folder_is_its_owners_alone(played):
    modes = {
        path: stat.S_IMODE(path.stat().st_mode)
        for path in (played.folder, *played.folder.rglob("*"))
    }
    assert len(modes) > 8
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    expected = 0o777 & ~os.umask(os.umask(0o022))
    assert stat.S_IMODE(played.folder.parent.stat().st_mode) in (expected, 0o755)


@pytest.fixture
def values(monkeypatch):
    """The variables are there, in this process."""
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)


def test_a_redacted_run_is_reported_and_compared(played, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(played.folder, first)
    shutil.copytree(played.folder, second)
    code, reported = called("report", str(first), cwd=tmp_path)
    assert code == 0, reported.output
    words = ("compare", str(first), str(second), "--unresolved", "pass", "--out", "page.html")
    code, compared = called(*words, cwd=tmp_path)
    assert code in (0, 2, 3), compared.output
    assert "{redacted}" not in compared.output
    assert "Traceback" not in compared.output
    for path in (tmp_path / "page.html", first / "run.json", first / "report.html"):
        if path.exists():
            assert not [s for s in SECRETS if s.encode() in path.read_bytes()]


def test_a_recorded_plan_names_its_missing_values(played, tmp_path, values):
    code, invocation = called("run", str(played.folder / "plan.toml"), cwd=tmp_path)
    assert code == 2
    for where in (
        "requests[0].headers.Authorization",
        "requests[0].json.password",
        "requests[1].body",
        "deployments.own.env.APP_PASSWORD",
        "deployments.own.command[4]",
    ):
        assert f"{where}: the value was {{redacted}} when this plan was recorded" in (
            invocation.output
        )
    assert not (tmp_path / "runs").exists()


def test_a_missing_variable_is_reported_before_anything_starts(tmp_path, values, monkeypatch):
    cwd = prepared(tmp_path)
    monkeypatch.delenv("SHOP_ENV")
    code, invocation = called("run", "plan.toml", cwd=cwd)
    assert code == 2
    assert invocation.output.splitlines()[-1:] == [
        "deployments.own.env.FROM_ENV: {env.SHOP_ENV}: the environment has no SHOP_ENV; "
        "set it before brownout starts"
    ]
    assert not (cwd / "runs").exists()


def test_the_last_lines_of_a_service_are_shown_without_its_secrets(tmp_path, values):
    cwd = prepared(tmp_path)
    text = (cwd / "plan.toml").read_text(encoding="utf-8").replace('"{port}",', '"{port}", "end",')
    (cwd / "plan.toml").write_text(text, encoding="utf-8")
    code, invocation = called("run", "plan.toml", cwd=cwd)
    assert code == 4
    assert "cannot log in with {redacted}" in invocation.output
    assert not [secret for secret in SECRETS if secret in invocation.output]
    [log] = (cwd / "runs").rglob("own.log")
    assert "cannot log in with {redacted}" in log.read_text(encoding="utf-8")


def test_commands_on_the_command_line_are_recorded_without_their_secrets(tmp_path, values):
    prepared(tmp_path)
    a, b = (f"python service.py {{port}} end --token {word}-literal-1" for word in ("argv", "env"))
    words = ("compare", a, b, "--plan", "plan.toml", "--at", "2", "--within", "1m")
    code, invocation = called(*words, cwd=tmp_path)
    assert code == 4, invocation.output
    texts = [path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert texts
    for content in (*texts, invocation.output.encode()):
        assert b"argv-literal-1" not in content
        assert b"env-literal-1" not in content
