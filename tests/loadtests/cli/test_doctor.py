"""`brownout doctor`: a plan is tried, and nothing is measured or saved."""

import re
import sys

import pytest

from tests.support.brownout_runs import BUDGET, called

pytestmark = pytest.mark.processes

SERVICE = """
import http.server, os, sys, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/checkout":
            urllib.request.urlopen(os.environ["SHOP_UPSTREAM"] + "/charge").read()
        self.send_response(301 if self.path == "/moved" else 200)
        self.send_header("location", "/checkout")
        self.end_headers()
        self.wfile.write(b"ok")

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    write(tmp_path, "SHOP_UPSTREAM", "/checkout")
    return tmp_path


def write(folder, variable, *paths):
    requests = "".join(f'[[requests]]\npath = "{path}"\n' for path in paths)
    (folder / "brownout.toml").write_text(
        f"""
name = "shop"
[upstream]
latency = "2ms"
{BUDGET}
[deployments.mine]
command = "{sys.executable} service.py {{port}}"
env = {{ {variable} = "{{upstream}}" }}
{requests}""",
        encoding="utf-8",
    )


def test_doctor_suggests_levels_a_length_and_a_level_to_compare_at(folder):
    code, found = called("doctor", cwd=folder)
    assert code == 0, found.output
    assert found.lines[0] == "The plan is brownout.toml of this folder."
    assert re.fullmatch(
        r"mine  /checkout: 200, 2 B, first byte after .* m?s, 1 upstream call \(200\)",
        found.lines[1],
    )
    assert re.search(r"(?m)^mine answers one user in .* of CPU: about ", found.output)
    assert re.search(r"(?m)^  levels = \[1, [\d, ]+\]$", found.output)
    assert 'measure = "' in found.output
    assert re.search(r"(?m)^For brownout compare: --at \d+$", found.output)
    assert found.lines[-1] == "No problem was found."
    assert sorted(path.name for path in folder.iterdir()) == ["brownout.toml", "service.py"]


def test_doctor_says_that_tasks_of_a_locustfile_are_not_tried(folder):
    plan = folder / "brownout.toml"
    text = plan.read_text(encoding="utf-8").partition("[[requests]]")[0]
    plan.write_text(f'locustfile = "users.py"\n{text}', encoding="utf-8")
    (folder / "users.py").write_text("", encoding="utf-8")
    code, found = called("doctor", cwd=folder)
    assert code == 0, found.output
    assert "No problem was found.\nIts tasks were not tried: " in found.output


def test_problems_that_would_spoil_a_run_are_named_and_end_with_1(folder):
    write(folder, "SHOP_UPSTREM", "/checkout", "/moved")
    code, found = called("doctor", cwd=folder)
    assert code == 1, found.output
    assert "KeyError: 'SHOP_UPSTREAM'" in found.output
    assert "mine: no call came to the mock upstream." in found.output
    assert "the service answers 301, a redirect to /checkout." in found.output
    assert found.lines[-1] == "3 problems were found."


def test_an_unreadable_plan_ends_with_2_and_a_failing_start_with_4(folder):
    text = (folder / "brownout.toml").read_text(encoding="utf-8")
    (folder / "wrong.toml").write_text(text.replace("{upstream}", "{upsteam}"), encoding="utf-8")
    code, found = called("doctor", "wrong.toml", cwd=folder)
    assert code == 2
    assert "did you mean {upstream}?" in found.output
    (folder / "ends.toml").write_text(text.replace("service.py", "no.py"), encoding="utf-8")
    code, found = called("doctor", "ends.toml", cwd=folder)
    assert code == 4
    assert "No such file or directory" in found.output
