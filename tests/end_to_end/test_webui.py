"""Our pages in Locust's web UI: in every mode of Locust, for everybody who may, for nobody else."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from loadtests.results import read
from tests.conftest import a_free_port
from tests.support.brownout_runs import LOCUST, PLAN, brownout, started
from tests.support.webui import LEVELS, LONG, locust, patiently, ui

pytestmark = pytest.mark.processes


def made(folder):
    """The folder with the plan in it."""
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    return folder


def shows(pages, points):
    """A whole run, from the form to its files."""
    shown = pages.until("complete")
    assert shown["sections"]["points"].count('scope="row"') == points
    assert len([point for point in pages.run().points if point.request == "all"]) == points
    for name in ("p50-wide", "p95-narrow", "p99-wide", "throughput-narrow"):
        assert pages.client.get(f"/degradation/charts/{name}").json()["layer"]
    return shown


def log_in(client, password):
    """Where the browser is sent then."""
    given = {"username": "brownout", "password": password}
    return client.post("/login-with-password", data=given).headers["location"]


def test_several_processes_show_one_run_to_those_who_have_the_printed_password(tmp_path, free_port):
    with locust(made(tmp_path), free_port, "--processes", "2", "--web-login") as pages:
        pages.invocation.until("with the password")
        password = pages.invocation.output.split("with the password ")[1].split()[0]
        assert pages.client.get("/degradation/now").status_code == 302
        assert log_in(pages.client, password) == "/"
        assert pages.until("ready")
        assert pages.start(**LEVELS)["success"]
        shows(pages, 4)


def test_a_master_with_a_worker_that_is_killed_shows_what_it_lost(tmp_path, free_port, other_port):
    ports = ["--master-bind-port", str(other_port)]
    worker = [*LOCUST, "--plan", "plan.toml", "--worker", "--master-port", str(other_port)]
    with (
        started(worker, made(tmp_path)) as one,
        started(worker, tmp_path) as other,
        locust(tmp_path, free_port, "--master", *ports) as pages,
    ):
        patiently(lambda: pages.client.get("/worker-count").json()["worker_count"] == 2)
        assert pages.start(**LEVELS | {"deployments": "async"})["success"]
        shows(pages, 2)
        assert pages.start(**LONG | {"measure": "4s"})["success"]
        pages.measuring()
        patiently(lambda: pages.client.get("/stats/requests").json()["user_count"] == 2)
        os.kill(other.process.pid, signal.SIGKILL)
        shown = pages.until("complete")
        assert "lost its connection" in shown["sections"]["points"]
        assert "Not valid" in shown["sections"]["points"]
        one.interrupt()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Plain Locust under another path, with a password, that begins a run by itself."""
    words = ("--autostart", "--web-login", "--web-base-path", "/lt")
    short = ("--levels", "1,2", "--settle", "0s", "--measure", "1s", "--deployments", "async")
    folder, port = made(tmp_path_factory.mktemp("guarded")), a_free_port()
    secret = {"BROWNOUT_PASSWORD": "open sesame"}
    with locust(folder, port, *words, *short, base="/lt", **secret) as pages:
        yield pages


def test_autostart_under_another_path_is_shown_and_needs_a_login(guarded):
    paths = [
        *("", "degradation.js", "vega.js", "now", "runs", "charts/p95-wide"),
        *("over/some/p95-wide", "runs/some/run.json"),
    ]
    for path in paths:
        response = guarded.client.get(f"/degradation/{path}")
        assert response.status_code == 302, path
        assert "/lt/login" in response.headers["location"]
    for path in ("/degradation/change/outage", "/swarm", "/stop"):
        assert guarded.client.post(path, json={}).status_code == 302, path
    assert guarded.client.get("/login").status_code == 200
    assert urlsplit(log_in(guarded.client, "open")).path == "/lt/login"
    assert guarded.client.get("/degradation/now").status_code == 302
    assert urlsplit(log_in(guarded.client, "open sesame")).path == "/lt/"
    shows(guarded, 2)
    index = guarded.client.get("/").text
    assert 'href="/lt/degradation/"' in index
    assert "open sesame" not in guarded.invocation.output


def test_passwords_are_tried_one_after_another(guarded):
    def guess(word):
        with httpx.Client(base_url=guarded.client.base_url, trust_env=False, timeout=30) as client:
            return log_in(client, word)

    began = time.monotonic()
    with ThreadPoolExecutor(4) as guessing:
        places = list(guessing.map(guess, ["a", "b", "c", "d"]))
    assert {urlsplit(place).path for place in places} == {"/lt/login"}
    assert time.monotonic() - began >= 4  # seconds: one for each, from any client


def test_a_mock_that_is_gone_and_a_controller_that_is_are_shown(guarded):
    log_in(guarded.client, "open sesame")
    guarded.until("complete")
    assert guarded.start(**LONG | {"measure": "4s"})["success"]
    guarded.measuring()
    assert "a test runs" in guarded.start(**LONG)["message"]
    parts = guarded.invocation.left_behind()
    mock = next(part for part in parts if "mock_upstream" in part.cmdline())
    mock.kill()
    assert "does not answer" in guarded.change("upstream", latency="30ms").json()["problem"]
    shown = guarded.until("complete", "interrupted")
    assert "the mock upstream" in "".join(shown["problems"])
    controller = next(part for part in parts if "control" in part.cmdline())
    controller.kill()
    assert guarded.until("gone")
    assert "is gone" in guarded.change("outage").json()["problem"]


@pytest.fixture(scope="module")
def open_pages(tmp_path_factory):
    """One web UI that nothing is played in before the last test."""
    with ui(made(tmp_path_factory.mktemp("ui")), a_free_port()) as pages:
        yield pages


def test_it_listens_on_this_machine_alone(open_pages):
    port = urlsplit(open_pages.url).port
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.2:{port}/", timeout=5, trust_env=False)


@pytest.mark.parametrize("path", ["/swarm", "/stop", "/degradation/change/outage"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ],
)
def test_other_sites_change_nothing(open_pages, path, headers):
    headers = headers | {"X-Token": open_pages.token()}
    response = open_pages.client.post(path, headers=headers, data=LEVELS)
    assert response.status_code == 403
    assert open_pages.now()["state"] == "ready"


def test_other_sites_read_nothing(open_pages):
    for path in ("/", "/degradation/", "/degradation/now", "/stats/requests"):
        response = open_pages.client.get(path, headers={"Origin": "http://evil.example"})
        assert response.headers["access-control-allow-origin"] == open_pages.url, path
        # A name that leads here by somebody else's DNS.
        stranger = open_pages.client.get(path, headers={"Host": "evil.example"})
        assert stranger.status_code == 403, path


READ = (
    "/",
    "/degradation/",
    "/degradation/now",
    "/degradation/runs",
    "/degradation/over/x/p95-wide",
)


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("mode", "dest"),
    [("no-cors", "image"), ("cors", "empty"), ("no-cors", "script"), ("navigate", "iframe")],
)
def test_pages_of_other_sites_cause_no_work(open_pages, path, site, mode, dest):
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert open_pages.client.get(path, headers=headers).status_code == 403


def test_requests_with_the_origin_of_another_site_cause_no_work(open_pages):
    headers = {"Origin": "http://evil.example"}
    assert open_pages.client.get("/degradation/runs", headers=headers).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
def test_links_from_other_sites_work(open_pages, site):
    headers = {
        "Sec-Fetch-Site": site,
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    for path in ("/", "/degradation/"):
        assert open_pages.client.get(path, headers=headers).status_code == 200, path
    headers |= {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    own = site in ("same-origin", "none")
    assert open_pages.client.get("/degradation/now", headers=headers).status_code == (
        200 if own else 403
    )


@pytest.mark.parametrize("token", ["", "x", "ü"])
def test_a_change_needs_the_token_of_the_page(open_pages, token):
    response = open_pages.client.post(
        "/degradation/change/outage", json={}, headers={"X-Token": token.encode()}
    )
    assert response.status_code == 403
    assert "load it again" in response.json()["problem"]


def test_a_change_is_a_post_of_an_object(open_pages):
    assert open_pages.client.get("/degradation/change/outage").status_code == 405
    assert open_pages.change("nothing").status_code == 404
    headers = {"X-Token": open_pages.token(), "Content-Type": "application/json"}
    for body in ("[]", "{", "", '"outage"'):
        response = open_pages.client.post(
            "/degradation/change/upstream", content=body, headers=headers
        )
        assert response.status_code == 404, body


def test_without_a_test_the_upstream_stays_as_it_is(open_pages):
    for what in ("upstream", "outage", "restore"):
        answer = open_pages.change(what, latency="1s").json()
        assert "no test runs" in answer["problem"]
    assert open_pages.now()["upstream"]["latency"] == "20ms"


def test_ten_megabytes_are_refused(open_pages):
    large = "x" * 10_000_000
    answer = open_pages.client.post("/swarm", data={"levels": large})
    assert answer.status_code == 413
    assert "256 kB" in answer.json()["message"]
    headers = {"X-Token": open_pages.token()}
    path = "/degradation/change/upstream"
    assert open_pages.client.post(path, json={"latency": large}, headers=headers).status_code == 413

    def parts():  # of no length that is told before
        for _ in range(100):
            yield large[:100_000].encode()

    try:
        told = open_pages.client.post("/swarm", content=parts()).status_code
        assert told in (400, 411, 413)
    except httpx.TransportError:
        pass  # it hung up
    assert open_pages.now()["state"] == "ready"


@pytest.mark.parametrize(
    "path",
    [
        "runs/..%2f..%2f..%2fetc/passwd",
        "runs/../plan.toml",
        "runs/%2e%2e/plan.toml",
        "runs/./run.json",
        "runs/nothing/run.json",
        "runs/nothing%00/run.json",
        "over/..%2f../p95-wide",
        "over/nothing/p95-wide",
        "charts/..%2fnow",
    ],
)
def test_names_of_runs_stay_in_their_folder(open_pages, path):
    assert httpx.get(f"{open_pages.url}/degradation/{path}").status_code in (404, 405)


def test_files_of_a_run_are_those_that_are_offered(open_pages):
    folder = next(open_pages.out.iterdir())
    assert (folder / "plan.toml").is_file()
    for name in ("plan.toml", "logs", "logs%2fmock.log", "slices.jsonl"):
        response = open_pages.client.get(f"/degradation/runs/{folder.name}/{name}")
        assert response.status_code == 404, name


@pytest.mark.parametrize("path", ["runs/{}/run.json", "runs/x/{}", "over/{}/x", "change/{}"])
def test_a_requested_path_is_not_echoed_as_a_page(open_pages, path):
    asked = path.format("<img src=x onerror=alert(1)>")
    for method in ("GET", "POST"):
        answer = open_pages.client.request(method, f"/degradation/{asked}")
        assert answer.status_code in (403, 404, 405)
        is_page = answer.headers["content-type"].startswith("text/html")
        assert not (is_page and "<img" in answer.text)


def test_links_in_a_run_are_not_served(open_pages):
    run = open_pages.out / "20260101-000000-foreign"
    run.mkdir()
    secret = open_pages.out.parent / "secret.txt"
    secret.write_text("hush", encoding="utf-8")
    (run / "report.html").symlink_to(secret)
    (run / "curves.png").write_text("a picture", encoding="utf-8")
    os.mkfifo(run / "points.csv")
    for name, status in (("report.html", 404), ("points.csv", 404), ("curves.png", 200)):
        answer = open_pages.client.get(f"/degradation/runs/{run.name}/{name}")
        assert answer.status_code == status, name
        assert "hush" not in answer.text
    shutil.rmtree(run)


def test_it_listens_on_ipv6_too_and_tells_a_load_generator_that_is_killed(
    tmp_path, free_port, open_pages
):
    (tmp_path / "plan.toml").write_text(
        f'name = "v6"\n[deployments.there]\nurl = "{open_pages.url}"\n'
        '[[requests]]\npath = "/"\n[load]\nlevels = [1]\n',
        encoding="utf-8",
    )
    with brownout(
        "ui", "plan.toml", "--port", str(free_port), "--web-host", "::1", cwd=tmp_path
    ) as invocation:
        url = f"http://[::1]:{free_port}"
        invocation.until(f"{url}/degradation/")
        assert httpx.get(f"{url}/degradation/", trust_env=False, timeout=30).status_code == 200
        stranger = {"Host": f"evil.example:{free_port}"}
        assert httpx.get(url, headers=stranger, trust_env=False, timeout=30).status_code == 403
        assert "can start tests" not in invocation.output
        invocation.part("loadtests.engine").kill()
        assert invocation.end() == 3
    assert "the load generator is gone: it was killed by SIGKILL" in invocation.output


def test_wrong_values_are_answered_with_the_mistake(open_pages):
    wrong = {
        "levels": ("3, 2", "2 follows 3"),
        "settle": ("soon", "settle"),
        "repeats": ("1.5", "1.5"),
        "model": ("opne", "'closed' or 'open'"),
        "deployments": ("asink", "asink"),
        "upstream": ("20 parsecs", "parsecs"),
        "slos": ("p95 < 250 at 1", "duration"),
        "host": ("http://example.org", "example.org"),
    }
    for name, (value, message) in wrong.items():
        answer = open_pages.start(**LEVELS | {name: value})
        assert answer["success"] is False, name
        assert message in answer["message"], name
    message = open_pages.start(**LEVELS | {"host": "http://stranger.invalid"})["message"]
    assert "'stranger.invalid' cannot be found" in message
    assert "not allowed" not in message
    assert open_pages.now()["state"] == "ready"


def test_each_test_is_a_run_and_ctrl_c_ends_the_ui(open_pages):
    def state():
        return open_pages.client.get("/stats/requests").json()

    invocation = open_pages.invocation
    assert "deployments" in open_pages.client.get("/").text
    rate = {"model": "open", "levels": "20", "deployments": "async"}
    assert open_pages.start(**LEVELS | rate)["success"]
    invocation.until("async at 20/s")
    invocation.until("report.html")
    patiently(lambda: state()["state"] == "stopped")
    users = {"model": "closed", "levels": "3", "deployments": "threads"}
    assert open_pages.start(**LONG | users)["success"]
    patiently(lambda: state()["user_count"] == 3)
    open_pages.stop()
    patiently(lambda: invocation.output.count("report.html") == 2)
    invocation.interrupt()
    assert invocation.end() == 0, invocation.output
    first, second = map(read, sorted(open_pages.out.iterdir()))
    assert {(p.deployment, p.level, p.model) for p in first.points} == {("async", 20, "open")}
    assert (first.status, second.status) == ("complete", "interrupted")
    assert "Traceback" not in invocation.output
