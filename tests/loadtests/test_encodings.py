"""Files are in UTF-8 in whatever locale, and folders may have names that are not."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests import plans, results
from loadtests.storage import run_folder
from tests.support.brownout_runs import BUDGET, COMMAND, ENVIRONMENT
from tests.support.servers import LONGEST_WAIT

ROOT = Path(__file__).parents[2]
OPENING = {"open": "r", "read_text": "", "write_text": "", "fdopen": "r"}
READING = ("Popen", "run", "check_output")
SUSPECT = re.compile(rf"\b({'|'.join(OPENING)})\s*\(|\btext\s*=")


def sources() -> list[Path]:
    return [
        path
        for package in ("mock_upstream", "app_under_test", "loadtests", "tests", ".ci")
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def unsaid(source: str) -> Iterator[int]:
    """The lines on which a text file is opened, or a process read, in the locale's encoding."""
    if not SUSPECT.search(source):  # most files need no parsing
        return
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        name = call.func.id if isinstance(call.func, ast.Name) else name
        if name not in OPENING and name not in READING:
            continue
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        said = "encoding" in keywords or None in keywords
        constants = [one.value for one in call.args if isinstance(one, ast.Constant)]
        binary = any(one in ("rb", "wb", "xb", "ab", "r+b") for one in constants)
        texts = name in READING and "text" in keywords
        of_os = ast.unparse(call.func).endswith(
            ("os.open", "webbrowser.open", "dashboard.open", "users.open")
        )
        if (name in OPENING and not of_os and not binary and not said) or (texts and not said):
            yield call.lineno


def test_every_text_file_is_opened_with_its_encoding():
    assert list(unsaid('open(x); x.read_text(); open(x, "rb"); os.open(x)')) == [1, 1]
    assert list(unsaid("run(x, text=True); run(x, text=True, encoding=y)")) == [1]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        for line in unsaid(path.read_text(encoding="utf-8"))
    ]
    assert found == []


PLAN = f"""
name = "Prüfung"
telemetry = false
[upstream]
latency = "5ms"
{BUDGET}
[[upstream.routes]]
path = "/grüße"
json = {{ "ü" = "→" }}
[deployments.own]
command = ["python", "-c", "import runpy; runpy.run_path('dienst-ü.py')", "{{port}}"]
[[requests]]
path = "/grüße"
name = "Grüße → alle"
headers = {{ X-Who = "{{file.schlüssel.txt}}" }}
json = {{ wer = "{{env.WER}}" }}
method = "POST"
[load]
levels = [1]
settle = "250ms"
measure = "1s"
"""
SERVICE = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def played(folder: Path, *words: str, **env: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    ended = subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT, "WER": "wer", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LONGEST_WAIT,
    )
    return ended.returncode, ended.stdout.decode("utf-8", "surrogateescape")


def prepared(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    (folder / "dienst-ü.py").write_text(SERVICE, encoding="utf-8")
    (folder / "schlüssel.txt").write_text("abcd-1\n", encoding="utf-8")
    return folder


@pytest.mark.processes
def test_a_run_in_a_locale_of_seven_bits_is_complete(tmp_path):
    cwd = prepared(tmp_path)
    text = PLAN.replace("dienst-ü", "dienst").replace("schlüssel", "key")
    (cwd / "plan.toml").write_text(text, encoding="utf-8")
    (cwd / "dienst-ü.py").rename(cwd / "dienst.py")
    (cwd / "schlüssel.txt").rename(cwd / "key.txt")
    code, output = played(cwd, "run", "plan.toml", "--unresolved", "pass", **ASCII)
    assert code in (0, 3), output
    assert "Traceback" not in output
    [folder] = (cwd / "runs").iterdir()
    run = results.read(folder)
    assert (run.name, run.points[0].errors.rate) == ("Prüfung", 0)
    assert {point.request for point in run.points} == {"all", "Grüße → alle"}
    assert (folder / "report.html").exists()
    code, output = played(cwd, "report", str(folder), **ASCII)
    assert code == 0, output


@pytest.mark.processes
@pytest.mark.parametrize("file", ["dienst-ü.py", "schlüssel.txt"])
def test_a_name_outside_the_locale_is_refused_with_a_hint(tmp_path, file):
    cwd = prepared(tmp_path)
    other = {"dienst-ü.py": ("{file.schlüssel.txt}", "x"), "schlüssel.txt": ("dienst-ü.py", "x")}
    (cwd / "plan.toml").write_text(PLAN.replace(*other[file]), encoding="utf-8")
    code, output = played(cwd, "run", "plan.toml", **ASCII)
    assert code == 2, output
    assert "cannot be passed to the system in this locale, whose encoding is ascii" in output
    assert output.splitlines()[-1].endswith("set LC_ALL=C.UTF-8 or PYTHONUTF8=1")
    assert "Traceback" not in output


@pytest.fixture
def strange(tmp_path) -> Path:
    """A folder whose name is not UTF-8."""
    folder = tmp_path / os.fsdecode(b"fol\xffder")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    return folder


@pytest.mark.processes
def test_a_run_in_a_folder_with_a_name_in_other_bytes_is_complete(strange):
    cwd = prepared(strange)
    text = PLAN.replace('"{file.schlüssel.txt}"', '"x"')
    (cwd / "plan.toml").write_text(text, encoding="utf-8")
    out = str(cwd / "out")
    code, output = played(cwd, "run", "plan.toml", "--unresolved", "pass", "--out", out)
    assert code in (0, 3), output
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith(out.replace("\udcff", "\ufffd"))
    [folder] = (cwd / "out").iterdir()
    run = results.read(folder)
    assert "fol\\udcffder" in run.environment["command"]
    assert run.deployments["own"]["argv"]
    code, output = played(cwd, "report", str(folder))
    assert code == 0, output
    assert results.read(folder).deployments == run.deployments


@pytest.mark.parametrize(
    "text",
    [
        '[deployments.own]\ncommand = "svc {port}"\ncwd = "."\n[[requests]]\npath = "/"\n',
        '[deployments.own]\ncommand = "svc {port}"\nenv = { A = "{file.x}" }\n'
        '[[requests]]\npath = "/"\n',
        'locustfile = "x"\n[deployments.own]\ncommand = "svc {port}"\n',
    ],
)
def test_a_path_that_no_plan_can_hold_is_refused_with_a_sentence(strange, text):
    (strange / "x").write_text("x", encoding="utf-8")
    (strange / "plan.toml").write_text(f'name = "shop"\n{text}', encoding="utf-8")
    with pytest.raises(plans.PlanError, match="is not UTF-8, which a plan is in; rename"):
        plans.read(strange / "plan.toml")


def test_a_problem_that_names_such_a_folder_is_written(tmp_path):
    folder = run_folder.RunFolder(tmp_path, {"id": "x", "name": "x"})
    folder.problem("see fol\udcffder")
    folder.end("complete")
    assert folder.record.problems == ["see fol\ufffdder"]
    assert rb"fol\ufffdder" in (tmp_path / "slices.jsonl").read_bytes()


@pytest.mark.processes
def test_characters_outside_the_encoding_are_question_marks():
    script = (
        "from mock_upstream import standard_streams as s; "
        r"raise SystemExit(s.run('x', lambda: print('a \u2192 \xfc \udcff')))"
    )
    environment = {**os.environ, **ASCII, "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert (ended.returncode, ended.stdout) == (0, b"a ? \xfc \xff\n")
