"""What is hidden in texts, commands and tables, and what stays as it is."""

import html
import json
import re
import time
import tomllib
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest

from loadtests import plans, redaction
from loadtests.recording.messages import (
    Apart,
    GeneratorDone,
    GeneratorLost,
    Report,
    RequestSpec,
    SliceMessage,
)

MARK = redaction.MARK


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_literals", set())
    redaction.longest_first.cache_clear()


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "PROXY-AUTHORIZATION",
        "Cookie",
        "set-cookie",
        "X-Api-Key",
        "apiKey",
        "access_token",
        "csrfToken",
        "CLIENT_SECRET",
        "DB_PASSWORD",
        "passwd",
        "AWS_SECRET_ACCESS_KEY",
        "credentials",
        "X-Auth",
        "SENTRY_DSN",
        "X-Amz-Signature",
    ],
)
def test_names_of_secrets_are_recognised(name):
    assert redaction.is_secret(name)
    assert redaction.named({name: "hunter2"}) == {name: MARK}
    assert redaction.payload({name: ["a", {"b": "c"}]}) == {name: [MARK, {"b": "c"}]}


@pytest.mark.parametrize(
    "name",
    ["Accept", "X-Who", "author", "keyword", "keyboard", "SSL_KEY_FILE", "PATH", "passenger", "id"],
)
def test_other_names_are_not_secrets(name):
    assert not redaction.is_secret(name)
    assert redaction.named({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer abc.def", f"Bearer {MARK}"),
        ("abc", MARK),
        ("", ""),
        ("Bearer {env.TOKEN}", "Bearer {env.TOKEN}"),
        ("sid={env.SID}; theme={file./run/x}", "sid={env.SID}; theme={file./run/x}"),
        ("sid=literal; t={env.T}", f"{MARK}{{env.T}}"),
        (MARK, MARK),
    ],
)
def test_placeholders_of_a_hidden_value_stay(text, shown):
    assert redaction.named({"Authorization": text}) == {"Authorization": shown}


def test_numbers_are_hidden_where_they_can_only_be_secrets():
    body = {"max_tokens": 100, "key": 5, "password": 1234, "otp": 99, "secret": True, "token": None}
    assert redaction.payload(body) == body | {"password": MARK, "otp": MARK}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://app:hunter2@db/shop", f"postgres://{MARK}@db/shop"),
        ("postgres://app:{env.PW}@db/shop", "postgres://app:{env.PW}@db/shop"),
        ("/pay?api_key=abc&item=7", f"/pay?api_key={MARK}&item=7"),
        ("curl -H 'Authorization: Bearer abc' x", f"curl -H 'Authorization: Bearer {MARK}' x"),
        ("X-Api-Token: abc\nok", f"X-Api-Token: {MARK}\nok"),
        (
            "API_TOKEN=abc exec svc --password hunter2",
            f"API_TOKEN={MARK} exec svc --password {MARK}",
        ),
        ("""{"password": "a b", "id": "c"}""", f"""{{"password": "{MARK}", "id": "c"}}"""),
        ("""{'token': 'abc'}""", f"""{{'token': '{MARK}'}}"""),
        ("--token 'a b' --port 8000", f"--token '{MARK}' --port 8000"),
        ('{"password": "a\\"b c", "id": "d"}', f'{{"password": "{MARK}", "id": "d"}}'),
        (r'"{\"token\": \"abc\"}"', rf'"{{\"token\": \"{MARK}\"}}"'),
        ("authorization=Bearer abc.def x", f"authorization=Bearer {MARK} x"),
        ("mongodb://app:p@ss@db/shop", f"mongodb://{MARK}@db/shop"),
        ("/login?to=%2Fa%3Ftoken%3Dabc", f"/login?to=%2Fa%3Ftoken%3D{MARK}"),
        ("password: abcd, user: e", f"password: {MARK}, user: e"),
        ("api_key = 'a b'", f"api_key = '{MARK}'"),
        ("KeyError: 'name'; keys: 3, --keep-alive 5", "KeyError: 'name'; keys: 3, --keep-alive 5"),
        ("http://127.0.0.1:8000/x?item=7", "http://127.0.0.1:8000/x?item=7"),
    ],
)
def test_secrets_are_found_within_a_text(text, shown):
    assert redaction.text(text) == shown
    assert redaction.text(shown) == shown


def test_the_words_of_a_command_are_looked_at_one_by_one():
    argv = ["svc", "--token=abc", "--password", "x y", "--key", "--port", "{port}", "-v"]
    hidden = ["svc", f"--token={MARK}", "--password", MARK, "--key", "--port", "{port}", "-v"]
    assert redaction.words(argv) == hidden
    assert redaction.command("svc --token {env.T} --port {port}") == (
        "svc --token {env.T} --port {port}"
    )
    assert redaction.command("svc --token abc '--name=a b'") == [
        *("svc", "--token", MARK, "--name=a b")
    ]
    typed = ["brownout", "compare", "svc --token abc --port {port}", "svc --port {port}"]
    assert redaction.words(typed)[2] == f"svc --token {MARK} --port {{port}}"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"user": "a", "password": "b"}', f'{{"user": "a", "password": "{MARK}"}}'),
        ('{"user":"a"}', '{"user":"a"}'),
        ("user=a&password=b&c=d", f"user=a&password={MARK}&c=d"),
        ("plain text", "plain text"),
    ],
)
def test_bodies_are_json_forms_or_texts(body, shown):
    assert redaction.body(body) == shown


def test_a_known_value_is_hidden_wherever_it_stands_and_however_it_is_escaped():
    redaction.remember('p"w/ö&1')
    redaction.remember("-----BEGIN-----\nline-of-a-key\n--")
    for text in ('p"w/ö&1', r"p\"w/\u00f6&1", "p%22w%2F%C3%B6%261", "a line-of-a-key b"):
        assert "w" not in redaction.masked(text).replace(MARK, "")
        assert MARK in redaction.masked(text)


def test_a_known_value_is_hidden_in_each_spelling():
    secret = "s3cr3t+\"v/a l\u00fce\\x'end"
    redaction.remember(secret)
    form = quote_plus(secret)
    requests_quotes = quote(secret, safe="!#$%&'()*+,/:;=?@[]~")
    found = [
        requests_quotes,
        *(form, re.sub("%..", lambda match: match[0].lower(), form), html.escape(secret)),
        *(json.dumps(secret, ensure_ascii=False), repr(secret), repr(secret.encode())),
        *(secret.encode().hex(), b64encode(secret.encode()).decode()),
        urlsafe_b64encode(secret.encode()).decode(),
    ]
    found += [b64encode(f"{user}:{secret}!".encode()).decode() for user in ("u", "me", "you")]
    within = json.dumps(secret)
    found += [json.dumps(within), repr(within), quote(within), json.dumps(form), html.escape(form)]
    found += [quote(form, safe=""), b64encode(within.encode()).decode(), within.encode().hex()]
    for text in found:
        assert MARK in redaction.masked(text)
        assert len(redaction.masked(text)) <= len(MARK) + 10, text


def test_the_parts_of_a_value_that_was_hidden_are_known():
    redaction.named(
        {
            "Authorization": f"Basic {b64encode(b'app:basic-password').decode()}",
            "Cookie": "a=b; sid=value-of-a-cookie",
        }
    )
    redaction.command("svc --database postgres://app:p%40ss-of-a-url@db/shop")
    for secret in ("basic-password", "value-of-a-cookie", "p@ss-of-a-url", "p%40ss-of-a-url"):
        assert redaction.masked(f"got {secret}.") == f"got {MARK}."


def test_secrets_in_the_texts_of_a_service_are_not_remembered():
    text = "".join(f"/login?token=abcdefgh{number}\n" for number in range(1000))
    assert "abcdefgh" not in redaction.text(text)
    assert redaction.masked("abcdefgh7") == "abcdefgh7"


def test_the_reports_of_generators_hold_no_secret():
    redaction.remember('known"value')
    part = SliceMessage(
        **dict.fromkeys(("index", "started", "ended", "succeeded"), 1),
        **dict.fromkeys(("start_lead", "end_lead"), 0.1),
        request='/x\x1b?token=known"value',
        kinds={'wrong known"value': 1, "wrong {redacted}": 2},
    )
    report = Report(stage=0, generator="a", sequence=0, slices=(part,))
    [shown] = redaction.of_report(report, set()).slices
    assert (shown.request, shown.kinds) == (f"/x\ufffd?token={MARK}", {f"wrong {MARK}": 3})
    [shown] = redaction.of_report(report, {part.request}).slices
    assert shown.request == part.request
    done = GeneratorDone(
        **dict.fromkeys(("stage", "reports", "unfinished", "cpu", "lag"), 0),
        generator="a",
        apart=(Apart(kind="timing", request_type="x", name='known"value', count=1),),
        errors={'ValueError: known"value': 2},
    )
    last = redaction.of_report(done, set())
    assert (last.apart[0].name, last.errors) == (MARK, {f"ValueError: {MARK}": 2})
    lost = GeneratorLost(stage=0, generator="a", reason='known"value')
    assert redaction.of_report(lost, set()).reason == MARK


def test_a_known_value_of_a_character_or_two_is_not_looked_for():
    redaction.remember("a")
    assert redaction.masked("a banana") == "a banana"


def test_a_value_hidden_by_its_name_is_hidden_everywhere_afterwards():
    redaction.named({"Authorization": "Bearer long-enough-value"})
    assert redaction.masked("got long-enough-value") == f"got {MARK}"


def test_a_long_text_takes_no_longer_than_its_length_asks():
    began = time.process_time()
    for text in ("a" * 200_000, "x-" * 100_000, "--a " * 50_000, "'a':'" * 40_000, "a://" * 50_000):
        redaction.text(text)
    assert time.process_time() - began < 10


def test_logs_lose_only_the_known_values(tmp_path):
    redaction.remember("hunter-22")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.log").write_bytes(b"x hunter-22\nother \xff\xfe\r\nhunter-22")
    (tmp_path / "b.log").write_bytes(b"nothing\n")
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    outside.write_text("hunter-22", encoding="utf-8")
    (tmp_path / "link").symlink_to(outside)
    before = (tmp_path / "b.log").stat().st_ino
    redaction.scrub(tmp_path)
    mark = MARK.encode()
    assert (tmp_path / "deep" / "a.log").read_bytes() == (
        b"x " + mark + b"\nother \xff\xfe\r\n" + mark
    )
    assert (tmp_path / "b.log").stat().st_ino == before
    assert outside.read_text(encoding="utf-8") == "hunter-22"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.log", "b.log", "deep", "link"]


PLAN = """
name = "shop"
[upstream]
[[upstream.routes]]
path = "/token"
json = { access_token = "made up" }
[deployments.own]
command = "svc --token abc --port {port}"
stop = ["sh", "-c", "PASSWORD=abc clean"]
env = { API_KEY = "abc", TOKEN_FOR = "http://127.0.0.1:{port}/", MODE = "fast" }
[[requests]]
path = "/pay?api_key=abc"
method = "POST"
headers = { Authorization = "Bearer abc", X-Who = "me" }
json = { password = "abc", amount = 5 }
[[requests]]
path = "/form"
body = "secret=abc&a=b"
"""


def test_a_value_is_found_where_two_blocks_of_a_log_meet(tmp_path, monkeypatch):
    monkeypatch.setattr(redaction, "_BLOCK", 10)
    redaction.remember("hunter-22")
    for before in range(25):
        (tmp_path / f"{before}.log").write_text(
            before * "x" + "hunter-22" + before * "y", encoding="utf-8"
        )
    redaction.scrub(tmp_path)
    for before in range(25):
        text = (tmp_path / f"{before}.log").read_text(encoding="utf-8")
        assert text == before * "x" + MARK + before * "y"


def test_a_recorded_plan_is_read_again_and_recording_it_changes_nothing_more(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    text = plans.to_toml(plans.read(path))
    assert "abc" not in text
    data = tomllib.loads(text)
    assert data["upstream"]["routes"][0]["json"] == {"access_token": "made up"}
    own = data["deployments"]["own"]
    assert own["command"] == ["svc", "--token", MARK, "--port", "{port}"]
    assert own["env"]["MODE"] == "fast"
    pay, form = data["requests"]
    assert pay["headers"] == {"Authorization": f"Bearer {MARK}", "X-Who": "me"}
    assert pay["json"] == {"password": MARK, "amount": 5}
    assert pay["name"] == f"POST /pay?api_key={MARK}"
    assert form["body"] == f"secret={MARK}&a=b"
    path.write_text(text, encoding="utf-8")
    assert plans.to_toml(plans.read(path)) == text
    with pytest.raises(plans.PlanError) as refused:
        plans.check(plans.read(path))
    assert [line.split(": the value was ")[0] for line in str(refused.value).splitlines()] == [
        "requests[0].headers.Authorization",
        "requests[0].json.password",
        "requests[0].path",
        "requests[1].body",
        "deployments.own.env.API_KEY",
        "deployments.own.env.TOKEN_FOR",
        "deployments.own.command[2]",
        "deployments.own.stop[2]",
    ]


def test_a_stage_is_sent_with_its_secrets_and_recorded_without(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    sent = [request.spec() for request in plans.read(path).requests]
    assert sent[0].headers["Authorization"] == "Bearer abc"
    assert sent[0].body == '{"password": "abc", "amount": 5}'
    recorded = [redaction._spec(spec) for spec in sent]
    assert all(isinstance(spec, RequestSpec) for spec in recorded)
    assert "abc" not in "".join(spec.model_dump_json() for spec in recorded)


@pytest.mark.parametrize(
    "wrong",
    [
        'command = "TOKEN=hunter2 svc --port {port}"',
        'command = "svc --token hunter2"',
        'command = ["svc", "--token=hunter2", 5]',
        'command = "svc {port}"\nenv = { API_KEY = ["hunter2"] }',
        'command = "svc {port}"\n[[requests]]\npath = "/"\nheaders = { Cookie = "hunter2\\n" }',
        'command = "svc {port}"\n[[requests]]\npath = "/"\nheaders = { Cookie = ["hunter2"] }',
        'url = "http://me:hunter2@127.0.0.1"',
        'url = "http://127.0.0.1/?token=hunter2"',
    ],
)
def test_mistakes_of_a_plan_are_described_without_its_secrets(tmp_path, wrong):
    path = tmp_path / "plan.toml"
    path.write_text(f'name = "shop"\n[deployments.own]\n{wrong}\n', encoding="utf-8")
    with pytest.raises(plans.PlanError) as refused:
        plans.read(path)
    assert "hunter2" not in str(refused.value)
    assert MARK in str(refused.value)
