"""Placeholders of a plan: where they may stand, and what is sent in their place."""

import json
import re

import pytest

from loadtests import plans, redaction
from loadtests.plans import deployments, placeholders
from loadtests.recording.messages import RequestSpec, Stage

SECRET = 'se"cret\\ & {env.OTHER} {port}'


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    monkeypatch.setenv("OTHER", "not this")
    monkeypatch.delenv("MISSING", raising=False)


def plan(tmp_path, text):
    path = tmp_path / "plan.toml"
    path.write_text(
        f'name = "shop"\n[deployments.own]\ncommand = "svc --port {{port}}"\n{text}',
        encoding="utf-8",
    )
    return plans.read(path)


def request(text):
    return f'[[requests]]\npath = "/pay"\n{text}\n'


def sent(plan):
    specs = tuple(one.spec() for one in plan.requests)
    stage = Stage(
        number=0,
        deployment="own",
        target="http://127.0.0.1:1",
        level=1,
        think_time=0,
        settle=0,
        measure=1,
        requests=specs,
        seed=0,
    )
    return placeholders.filled_stage(stage).requests[0]


def test_a_header_is_sent_with_the_value_and_recorded_with_the_placeholder(tmp_path):
    made = plan(tmp_path, request('headers = { Authorization = "Bearer {env.SHOP_TOKEN}" }'))
    assert sent(made).headers == {"Authorization": f"Bearer {SECRET}"}
    assert 'Authorization = "Bearer {env.SHOP_TOKEN}"' in plans.to_toml(made)
    assert redaction.masked(f"got {SECRET}") == f"got {redaction.MARK}"


def test_a_value_within_json_is_escaped_and_one_within_a_body_is_not(tmp_path):
    made = plan(tmp_path, request('json = { a = [{ b = "<{env.SHOP_TOKEN}>" }], c = "{d}" }'))
    assert json.loads(sent(made).body) == {"a": [{"b": f"<{SECRET}>"}], "c": "{d}"}
    made = plan(tmp_path, request("body = 'b={env.SHOP_TOKEN}'"))
    assert sent(made).body == f"b={SECRET}"


def test_a_value_within_a_path_is_quoted(tmp_path):
    made = plan(tmp_path, '[[requests]]\npath = "/x?key={env.SHOP_TOKEN}"\n')
    assert sent(made).path == "/x?key=se%22cret%5C%20%26%20%7Benv.OTHER%7D%20%7Bport%7D"
    assert made.requests[0].name == "/x?key={env.SHOP_TOKEN}"


@pytest.mark.parametrize(
    "body",
    ['{"a": {"b": 1}}', '{"env": {"file": 2}}', "{ env.SHOP_TOKEN }", "${SHOP_TOKEN} {id} {{}}"],
)
def test_other_braces_stay(tmp_path, body):
    assert sent(plan(tmp_path, request(f"body = '{body}'"))).body == body


def test_a_file_is_found_from_the_plans_folder_and_loses_its_last_line_end(tmp_path):
    (tmp_path / "token.txt").write_text("ünïque\r\n", encoding="utf-8")
    made = plan(tmp_path, request('headers = { X-Token = "{file.token.txt}" }'))
    assert sent(made).headers == {"X-Token": "ünïque"}
    again = tmp_path / "elsewhere"
    again.mkdir()
    (again / "plan.toml").write_text(plans.to_toml(made), encoding="utf-8")
    assert plans.read(again / "plan.toml") == made


def test_words_and_variables_of_a_command_keep_the_value_in_one_place():
    words = ["svc", "--token={env.SHOP_TOKEN}"]
    assert placeholders.filled_words(words) == ["svc", f"--token={SECRET}"]
    variables = {"A": "{env.SHOP_TOKEN}", "B": None}
    assert placeholders.filled_environment(variables) == {"A": SECRET, "B": None}


def test_requests_without_placeholders_stay_as_they_are():
    spec = RequestSpec(name="x", method="GET", path="/", weight=1, timeout=1, body="{}")
    assert placeholders.filled_request(spec) is spec


def test_all_missing_values_are_named_with_their_place_and_a_hint(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"a" * ((1 << 20) + 1))
    (tmp_path / "lines").write_text("a\nb", encoding="utf-8")
    made = plan(
        tmp_path,
        'env = { A = "{env.MISSING}", B = "{file.binary}", C = "{file.large}" }\n'
        + request('headers = { X-A = "{file.nothing}", X-B = "{file.lines}", X-C = "{file..}" }'),
    )
    with pytest.raises(plans.PlanError) as refused:
        plans.check(made)
    assert str(refused.value).splitlines() == [
        f"requests[0].headers.X-A: {{file.{tmp_path}/nothing}}: the file cannot be read: "
        "No such file or directory",
        f"requests[0].headers.X-B: '{{file.{tmp_path}/lines}}' stands for several lines, "
        "which no header can carry",
        f"requests[0].headers.X-C: {{file.{tmp_path}}}: that is not a file",
        "deployments.own.env.A: {env.MISSING}: the environment has no MISSING; "
        "set it before brownout starts",
        f"deployments.own.env.B: {{file.{tmp_path}/binary}}: the file is not text in UTF-8",
        f"deployments.own.env.C: {{file.{tmp_path}/large}}: the file is larger than "
        "1,048,576 bytes",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{env.}", "requests[0].headers: {env.} names no variable"),
        ("{env.A-B}", "requests[0].headers: {env.A-B} names no variable"),
        ("{file.}", "requests[0].headers: {file.} names no file"),
    ],
)
def test_a_placeholder_that_names_nothing_is_a_mistake(tmp_path, text, says):
    with pytest.raises(plans.PlanError) as refused:
        plan(tmp_path, request(f'headers = {{ X = "{text}" }}'))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ("{upsteam}", "env.U: there is no placeholder {upsteam}; did you mean {upstream}?"),
        ("http://{Upstream}/v1", "did you mean {upstream}?"),
        ("{ port }", "did you mean {port}?"),
        ("{order_id}", "there are: {port}, {upstream}, {upstream_ca}, {env.NAME}, {file.PATH}"),
        ("{order_id}", "For the text {order_id} write {{order_id}}"),
        ("{env:TOKEN}", "did you mean {env.TOKEN}?"),
        ("{evn.TOKEN}", "did you mean {env.TOKEN}?"),
        ("{HOME_OF_SHOP}", "did you mean {env.HOME_OF_SHOP}?"),
        ("${upsteam}", "did you mean {upstream}?"),
    ],
)
def test_an_unknown_name_in_braces_is_refused_with_a_suggestion(tmp_path, env, says):
    with pytest.raises(plans.PlanError) as refused:
        plan(tmp_path, f"env = {{ U = {json.dumps(env)} }}\n{request('')}")
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('command = "svc --port {port} --to {upsteam}"', "command"),
        ('command = ["svc", "{port}", "{upsteam}"]', "command[2]"),
        ('command = "svc {port}"\nstop = "kill {upsteam}"', "stop"),
        ('command = "svc {port}"\nready = "/{upsteam}"', "ready"),
        ('url = "http://127.0.0.1:9/{upsteam}"', "url"),
        ('variant = "async-httpx"\nenv = { A = "{port}" }', "env.A"),
    ],
)
def test_unknown_names_are_refused_wherever_a_deployment_has_texts(tmp_path, table, key):
    path = tmp_path / "plan.toml"
    path.write_text(f'name = "a"\n[deployments.own]\n{table}\n{request("")}', encoding="utf-8")
    with pytest.raises(plans.PlanError, match=rf"deployments\.own\.{re.escape(key)}: "):
        plans.read(path)


@pytest.mark.parametrize("text", ['path = "/items/{id}"', 'path = "/"\nheaders = { A = "{tok}" }'])
def test_unknown_names_are_refused_in_paths_and_headers(tmp_path, text):
    with pytest.raises(plans.PlanError, match=r"there is no placeholder \{(id|tok)\}"):
        plan(tmp_path, f"[[requests]]\n{text}\n")


def test_a_name_in_two_braces_is_the_text_in_one_and_recorded_as_it_was(tmp_path):
    made = plan(
        tmp_path,
        'env = { A = "{{port}}={port} {{env.OTHER}}={env.OTHER}" }\n'
        + request('headers = { A = "{{id}} {env.OTHER}" }').replace("/pay", "/pay/{{id}}"),
    )
    own = made.deployments["own"]
    values = placeholders.filled_environment({"A": deployments.filled(own.env["A"], port=8001)})
    assert values == {"A": "{port}=8001 {env.OTHER}=not this"}
    assert sent(made).headers == {"A": "{id} not this"}
    assert sent(made).path == "/pay/{id}"
    assert plans.to_toml(plans.read(recorded(tmp_path, made))) == plans.to_toml(made)


def recorded(tmp_path, made):
    path = tmp_path / "recorded.toml"
    path.write_text(plans.to_toml(made), encoding="utf-8")
    return path


def test_a_shell_keeps_its_variables_and_json_its_braces(tmp_path):
    words = ["sh", "-c", "exec svc --port {port} --home ${HOME} --log '{\"a\": {}}'"]
    path = tmp_path / "plan.toml"
    path.write_text(
        f'name = "a"\n[deployments.own]\ncommand = {json.dumps(words)}\n{request("")}',
        encoding="utf-8",
    )
    command = plans.read(path).deployments["own"].command
    found = placeholders.filled_words(deployments.argv(command, port=8001))
    assert found[2] == "exec svc --port 8001 --home ${HOME} --log '{\"a\": {}}'"


def test_a_script_keeps_its_braces_unless_they_nearly_hold_a_placeholder(tmp_path):
    def words(script):
        command = json.dumps(["python", "-c", script, "{port}"])
        path = tmp_path / "plan.toml"
        path.write_text(
            f'name = "a"\n[deployments.own]\ncommand = {command}\n{request("")}', encoding="utf-8"
        )
        own = plans.read(path).deployments["own"].command
        return placeholders.filled_words(deployments.argv(own, port=8001))

    script = "print(f'{n} {{n}} {port} {{port}}')"
    assert words(script)[2] == "print(f'{n} {{n}} 8001 {port}')"
    with pytest.raises(plans.PlanError, match=r"command\[2\]: .*did you mean \{upstream\}"):
        words("import sys; serve('{upsteam}')")
