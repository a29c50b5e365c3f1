import pytest

from loadtests.processes.proxies import exceptions

HERE = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("environment", "planned", "value"),
    [
        ({"PATH": "/bin"}, {}, None),
        ({"no_proxy": "shop.example"}, {}, None),
        ({"HTTP_PROXY": "http://proxy"}, {}, HERE),
        ({"all_proxy": "socks5://proxy", "NO_PROXY": ""}, {}, HERE),
        ({"https_proxy": "http://proxy", "NO_PROXY": ".corp"}, {}, f".corp,{HERE}"),
        ({"https_proxy": "x", "no_proxy": "a", "NO_PROXY": "b"}, {}, f"a,{HERE}"),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": "b"}, {"NO_PROXY": "b"}, None),
        ({"HTTP_PROXY": "http://proxy", "no_proxy": ""}, {"no_proxy": ""}, None),
    ],
)
def test_a_service_behind_a_proxy_calls_this_machine_directly_unless_the_plan_says_otherwise(
    environment, planned, value
):
    expected = {} if value is None else {"no_proxy": value, "NO_PROXY": value}
    assert exceptions(environment, planned) == expected
