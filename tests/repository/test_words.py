"""The texts of the repository are plain technical English."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A text file that a person reads, by the end of its name.
TEXTS = (".css", ".html", ".js", ".md", ".py", ".sh", ".toml", ".yaml", ".yml", "Makefile")

FOLDERS = [
    *("app_under_test", "brownout", "loadtests", "mock_upstream"),
    *("docs", "tests", ".ci", ".github"),
]

# The list of words has to name them.
EXCEPT = {Path(__file__)}

# A word or phrase that a reader has to read twice, and what to write instead.
WORDS = {
    r"\banew\b": "again, or restart",
    r"\bbeside\b": "next to, or in addition to",
    r"\bwhoever\b": "anyone who, or the noun",
    r"\bso many\b": "the number, or its name",
    r"\bcomes? along\b": "is shipped, or is installed",
    r"\btell(?:s|ing)? of\b|\btold of\b": "say about, report",
    r"\btell(?:s|ing)? (?:on )?(?:itself|themselves)\b": "have telemetry",
    r"\btake[sn]? in hand\b": "change",
    r"\bfrom which times? on\b": "the shortest time that",
    r"\bone thing too many\b": "unexpected",
    r"\bnobody load-tests\b|\ba stranger by a typo\b": "someone else's host",
    r"\bpatience\b": "timeout",
    r"\bdo(?:es)? not tell its\b": "does not report its",
    r"\b(?:keep|break)(?:s|ing)? (?:a|an|the|every|no) (?:promise|slo)\b": "meet, miss an SLO",
    r"\bpromises?\b(?!\.resolve)": "SLO, or prediction",
    r"(?<!there )\bis no (?:number|name|port|profile|status|quantile|delay)\b": "is not a",
    r"\b(?:what|a value that) cannot be is\b": "invalid values are",
}

# A word without its borders is found many times as fast, and most files have none.
LIKELY = {pattern: re.compile(pattern.replace(r"\b", "")) for pattern in WORDS}

# A docstring is read without the name of what it is about: its first line is a sentence. It begins
# with neither a preposition nor a pronoun that stands for the name.
OPENINGS = re.compile(
    r"[`\"']*(about|above|across|after|against|along|among|around|as|at|before|behind|below|beneath"
    r"|beside|between|beyond|by|during|except|for|from|in|inside|into|like|near|of|off|on|onto|out"
    r"|outside|over|past|since|through|throughout|to|toward|towards|under|until|up|upon|with|within"
    r"|without|it|likewise|that|the same|they|those|whom?|whose)\b",
    re.IGNORECASE,
)
# What comes before a docstring: nothing, or the colon of a definition; and comments.
SUSPECT = re.compile(rf'(?:\A|:)\s*(?:#[^\n]*\s*)*r?"""\s*{OPENINGS.pattern}', re.IGNORECASE)

# The name of a test is a fact: its subject is a noun, not a clause.
CLAUSES = re.compile(r"def (test_(?:that|what|whatever|who|whoever|whom|whose)_\w+)")


def files() -> list[Path]:
    """All text files of the project; generated files and environments are in other folders."""
    tops = [ROOT / name for name in FOLDERS]
    inside = [path for top in tops for path in top.rglob("*") if "__pycache__" not in path.parts]
    found = [path for path in [*ROOT.iterdir(), *inside] if path.name.endswith(TEXTS)]
    return [path for path in found if path not in EXCEPT]


def complaints(text: str) -> Iterator[str]:
    """The number of each line with a word of the list, the word, and what to write."""
    plain = text.replace("_", " ").replace("\n", " ")  # names of tests are sentences, too
    small = plain.lower()
    for pattern, instead in WORDS.items():
        if not LIKELY[pattern].search(small):
            continue
        for found in re.finditer(pattern, plain, re.IGNORECASE):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{line}: {found.group()!r}; write: {instead}"


def badly_opened(source: str) -> Iterator[str]:
    if not SUSPECT.search(source):  # most files need no parsing
        return
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented):
            text = ast.get_docstring(node) or ""
            if found := OPENINGS.match(text):
                first = text.splitlines()[0]
                yield f"{node.body[0].lineno}: {first!r} begins with {found.group(1)!r}"


def test_texts_have_none_of_the_words() -> None:
    wrong = [
        f"{path}:{each}"
        for path in files()
        for each in complaints(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_docstrings_begin_with_neither_a_preposition_nor_a_pronoun() -> None:
    wrong = [
        f"{path}:{each}"
        for path in files()
        if path.suffix == ".py"
        for each in badly_opened(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_names_of_tests_do_not_begin_with_a_clause() -> None:
    wrong = [
        f"{path}: {name}"
        for path in files()
        if path.name.startswith("test_")
        for name in CLAUSES.findall(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "# asked anew",
        "def test_the_picture_is_beside_it():",
        "Whoever reaches HOST",
        "at most so\nmany at a time",
        "services tell of themselves",
        "'x' is no number",
        "What cannot be is refused",
        "the SLO keeps no promise",
    ],
)
def test_a_word_of_the_list_is_found(text: str) -> None:
    assert [*complaints(text)]


@pytest.mark.parametrize(
    "text", ["besides", "there is no port", "is no longer", "so much", "it tells a story", "anyone"]
)
def test_other_words_are_allowed(text: str) -> None:
    assert not [*complaints(text)]


@pytest.mark.parametrize("first", ["Of a process.", "Those of a process.", "The same again."])
def test_a_docstring_without_a_noun_at_its_start_is_found(first: str) -> None:
    source = f'def threads():  # many\n    # Yes.\n    """{first}"""\n\n\n'
    source += 'def cores():\n    """The cores."""\n'
    [found] = badly_opened(source)
    assert found.startswith(f"3: {first!r} begins with")
