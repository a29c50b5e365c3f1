"""A class name stands for one thing in the whole project."""

import ast
import re
from collections import Counter, defaultdict

from tests.support.documents import ROOT

PACKAGES = ("brownout", "mock_upstream", "app_under_test", "loadtests")
CLASS = re.compile(r"^\s*class (\w+)", re.MULTILINE)  # or a text that looks like one


def test_class_names_are_unique() -> None:
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    sources = {file: file.read_text(encoding="utf-8") for file in files}
    names = Counter(name for source in sources.values() for name in CLASS.findall(source))
    assert names
    places: defaultdict[str, list[str]] = defaultdict(list)
    for file, source in sources.items():
        if all(names[name] == 1 for name in CLASS.findall(source)):  # it need not be parsed
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
