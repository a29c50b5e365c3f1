"""TOML and JSON that cannot be read, and messages about what others wrote."""

import re

import pytest

from mock_upstream.units.documents import (
    LONGEST_LINE,
    MOST_LINES,
    from_json,
    from_toml,
    listed,
    shortened,
)


@pytest.mark.parametrize("read", [from_toml, from_json])
def test_unreadable_text_is_a_value_error(read) -> None:
    value = "a = {}" if read is from_toml else "{}"
    for text, why in (
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "a whole number of too many digits"),
        ("\0", "Invalid value|Expecting value"),
    ):
        with pytest.raises(ValueError, match=re.compile(why)) as error:
            read(value.replace("{}", text))
        assert "sys." not in str(error.value)


@pytest.mark.parametrize(
    "text", ['{"a": ["x \\ud800"]}', '{"\\uDC80": 1}', b'["\\ud83d"]', b'["\xed\xa0\x80"]']
)
def test_half_of_a_surrogate_pair_is_a_value_error(text) -> None:
    with pytest.raises(ValueError, match=r"half of a surrogate pair|invalid continuation"):
        from_json(text)
    assert from_json(b'["\\ud83d\\ude00"]') == ["\U0001f600"]


@pytest.mark.parametrize("name", ["a-0", '"a b"', "'.'"])
def test_a_key_of_thousands_of_names_is_refused_and_not_read(name) -> None:
    """Reading it takes time with the square of their number."""
    for key in (".".join([name] * 20_000), " . ".join([name] * 200)):
        for text in (f"{key} = 1", f"[{key}]", f"[[ {key}]]", f"x = {{ y = 1, {key} = 2 }}"):
            with pytest.raises(ValueError, match="nested too deep"):
                from_toml(f"first = 1\n{text}\n")
    assert from_toml(f"{'.'.join(['a'] * 50)} = 1")
    assert from_toml(f'x = "{"a." * 500}"')


def test_a_long_line_of_a_message_keeps_both_ends() -> None:
    assert shortened("x" * LONGEST_LINE) == "x" * LONGEST_LINE
    cut = shortened("first " + "x" * 10_000 + " last")
    assert cut.startswith("first x")
    assert cut.endswith("x last")
    assert len(cut) <= LONGEST_LINE


def test_of_many_messages_the_first_are_listed_and_the_others_counted() -> None:
    assert listed(["a", "b\nc"]) == "a\nb\nc"
    lines = listed([f"{n}\n{n}" for n in range(MOST_LINES)]).splitlines()
    assert len(lines) == MOST_LINES
    assert lines[-1] == f"and {MOST_LINES + 1} more"
