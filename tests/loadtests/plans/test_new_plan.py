"""The text of a new plan: what is in it, and that it is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import plans
from loadtests.plans import new_plan
from loadtests.plans.openapi import Operation, bare

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("uvicorn main:app", "uvicorn main:app --port {port}"),
        ("python -m uvicorn main:app", "python -m uvicorn main:app --port {port}"),
        ("uvicorn main:app --port 8000 --no-access-log",
         "uvicorn main:app --port {port} --no-access-log"),
        ("fastapi run main.py --port=80", "fastapi run main.py --port={port}"),
        ("gunicorn -b 0.0.0.0:8000 main:app", "gunicorn -b 127.0.0.1:{port} main:app"),
        ("gunicorn main:app", "gunicorn main:app --bind 127.0.0.1:{port}"),
        ("./serve {port}", "./serve {port}"),
        ("./serve", None),
        ("./serve 'x", None),
    ],
)  # fmt: skip
def test_known_servers_get_the_port_option_in_the_right_place(command, made):
    assert new_plan.with_port(command) == made


def read(tmp_path, **parts):
    path = tmp_path / "brownout.toml"
    given = {"name": "shop", "requests": [bare("GET", "/checkout")], **parts}
    text = new_plan.text(new_plan.NewPlan(**given))
    path.write_text(text, encoding="utf-8")
    return text, plans.read(path)


def test_a_plan_of_a_command_passes_the_upstream_to_the_service(tmp_path):
    text, plan = read(
        tmp_path, command="uvicorn main:app --port {port}", variables=["PAYMENTS_URL"], ready="/up"
    )
    mine = plan.deployments["mine"]
    assert mine.env == {"PAYMENTS_URL": "{upstream}"}
    assert mine.ready.path == "/up"
    assert plan.requests[0].path == "/checkout"
    assert text.count("#") > 8


def test_possible_variable_names_are_comments(tmp_path):
    text, plan = read(tmp_path, command="x {port}", possible=["A_URL", "B_HOST"])
    assert plan.deployments["mine"].env == {}
    assert '# env = { A_URL = "{upstream}" }\n# env = { B_HOST = "{upstream}" }' in text


def test_other_operations_are_comments_that_can_be_uncommented(tmp_path):
    other = Operation(
        "POST",
        "/orders",
        "/orders",
        {"n": 1},
        {"X-Shop": "a"},
        (201,),
        (),
        ("Bearer",),
        "Order\nit",
    )
    text, plan = read(tmp_path, url="http://127.0.0.1:9", others=[other])
    assert len(plan.requests) == 1
    begin = text.index("# [[requests]]   # Order it")
    end = text.index("\n\n", begin)
    taken = "\n".join(line.removeprefix("# ") for line in text[begin:end].splitlines())
    (tmp_path / "brownout.toml").write_text(f"{text}\n{taken}\n", encoding="utf-8")
    found = plans.read(tmp_path / "brownout.toml").requests[1]
    assert (found.method, found.path, found.payload) == ("POST", "/orders", {"n": 1})
    assert found.headers == {"X-Shop": "a"}
    assert found.expect.status == (201,)


@given(VALUES, st.text(max_size=20))
def test_any_body_and_summary_make_a_plan(tmp_path_factory, body, summary):
    one = Operation("POST", "/a", "/a", body, {}, (), (summary,), (summary,), summary)
    _, plan = read(tmp_path_factory.getbasetemp(), url="http://127.0.0.1:9", requests=[one])
    if body is not None and "null" not in str(plan.requests[0].body):
        assert plan.requests[0].payload == body or plan.requests[0].body is not None
