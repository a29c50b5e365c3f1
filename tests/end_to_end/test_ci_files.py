"""What others copy into their CI: linted as GitHub would read it, and run where a shell can."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from loadtests import results

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
EXAMPLES = ROOT / "docs" / "examples"
WORKFLOW = EXAMPLES / "brownout-gate.yml"
CI = ROOT / ".github" / "workflows" / "ci.yml"
GATE = EXAMPLES / "brownout-gate.sh"
DOC = ROOT / "docs" / "ci.md"

# A `brownout` that tells what it was asked, makes a run's folder, and ends as CODE says.
STUB = """#!/bin/sh
printf '%s\\n' "$@" >"$ASKED"
for argument; do
    case $argument in --out=*) run=${argument#--out=}/20261127-120000-gate; mkdir -p "$run" ;; esac
done
[ -z "$VERDICT" ] || echo "{\\"verdicts\\": [{\\"verdict\\": \\"$VERDICT\\"}]}" >"$run/run.json"
exit "$CODE"
"""


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return found


def tool(name: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """One of this environment; nothing is asked of a network."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *words], capture_output=True, encoding="utf-8", timeout=60)


def schema_of(path: Path) -> str:
    return "vendor.github-actions" if path.name == "action.yml" else "vendor.github-workflows"


def wrong(path: Path) -> str:
    """What two linters have against a workflow or an action; empty if nothing."""
    shape = tool("check-jsonschema", "--builtin-schema", schema_of(path), path)
    dangers = tool("zizmor", "--offline", "--persona=auditor", "--no-config", path)
    return "".join(one.stdout + one.stderr for one in (shape, dangers) if one.returncode)


@pytest.mark.parametrize("path", [ACTION, WORKFLOW, CI], ids=lambda path: path.name)
def test_linters_accept_the_shipped_files(path: Path) -> None:
    assert wrong(path) == ""


@pytest.mark.parametrize(
    ("path", "text", "instead", "complaint"),
    [
        (WORKFLOW, "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", "run-on"),
        (WORKFLOW, "timeout-minutes: 20", "timeout-minutes: soon", "timeout-minutes"),
        (WORKFLOW, "worktree add", "switch ${{ github.head_ref }} #", "template-injection"),
        (WORKFLOW, "de0fac2e4500dabe0009e67214ff5f5447ce83dd", "v6", "unpinned-uses"),
        (WORKFLOW, "pull_request:", "pull_request_target:", "dangerous-triggers"),
        (ACTION, "using: composite", "using: composition", "composition"),
        (ACTION, "shell: bash", "shel: bash", "shel"),
        (ACTION, '-- "$BASE"', '-- "${{ inputs.base }}"', "template-injection"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_broken_file_is_refused(
    tmp_path: Path, path: Path, text: str, instead: str, complaint: str
) -> None:
    content = path.read_text(encoding="utf-8")
    assert text in content
    broken = tmp_path / path.name
    broken.write_text(content.replace(text, instead), encoding="utf-8")
    assert complaint in wrong(broken)


def test_the_example_uses_inputs_that_the_action_has_and_the_docs_list_all() -> None:
    inputs = read(ACTION)["inputs"].keys()
    [step] = [
        step
        for step in read(WORKFLOW)["jobs"]["gate"]["steps"]
        if "/brownout@" in step.get("uses", "")
    ]
    assert step["with"].keys() <= inputs
    page = DOC.read_text(encoding="utf-8")
    assert not [name for name in inputs if f"`{name}`" not in page]
    for path in (WORKFLOW, GATE, EXAMPLES / "shop"):
        assert f"(examples/{path.name})" in page


def test_installing_the_action_installs_the_locked_versions() -> None:
    script = step_named("Install brownout")["run"]
    assert '--require-hashes -r "$GITHUB_ACTION_PATH/requirements.lock"' in script
    assert "--no-deps" in script


def scripts() -> Mapping[str, str]:
    """Every shell script that is shipped, by where it stands."""
    found = {path.name: path.read_text(encoding="utf-8") for path in (GATE, ROOT / ".ci" / "run")}
    steps = read(ACTION)["runs"]["steps"] + read(WORKFLOW)["jobs"]["gate"]["steps"]
    return found | {step["name"]: step["run"] for step in steps if "run" in step}


@pytest.mark.parametrize("name", scripts())
def test_shell_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n"], input=scripts()[name], encoding="utf-8", check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("name", scripts())
def test_shellcheck_accepts_the_scripts(name: str) -> None:
    words = ["shellcheck", "--shell=bash", "-"]
    found = subprocess.run(words, input=scripts()[name], encoding="utf-8", capture_output=True)
    assert found.stdout == ""


def step_named(name: str) -> dict[str, Any]:
    [step] = [step for step in read(ACTION)["runs"]["steps"] if step.get("name") == name]
    return dict(step)


def acted(tmp_path: Path, **env: str) -> tuple[int, list[str], dict[str, str]]:
    """The action's comparing step with a stub: exit code, what the stub was asked, the outputs."""
    programs = tmp_path / "brownout" / "bin"
    programs.mkdir(parents=True)
    (programs / "brownout").write_text(STUB, encoding="utf-8")
    (programs / "brownout").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    step = step_named("Compare")
    values = {
        **dict.fromkeys(step["env"], ""),
        "CODE": "0",
        "VERDICT": "",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "ASKED": str(tmp_path / "asked"),
        **env,
    }
    # As GitHub does: https://docs.github.com/en/actions, the shell `bash`.
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    code = subprocess.run(words, cwd=tmp_path, env={**os.environ, **values}).returncode
    outputs = (tmp_path / "output").read_text(encoding="utf-8").splitlines()
    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    return code, asked, dict(line.split("=", 1) for line in outputs)


def test_the_action_ends_as_the_comparison_does_and_reports_it(tmp_path: Path) -> None:
    code, asked, outputs = acted(
        tmp_path, PLAN="gate.toml", BASE="base", HEAD="head", AT="40", CODE="1", VERDICT="WORSE"
    )
    out = Path(outputs["run"]).parent
    assert asked == ["compare", "--plan=gate.toml", f"--out={out}", "--at=40", "--", "base", "head"]
    assert (code, outputs["verdict"]) == (1, "WORSE")
    assert (Path(outputs["run"]) / "run.json").is_file()
    assert outputs["artifact"] == out.name


def test_the_action_keeps_the_results_of_a_comparison_that_died(tmp_path: Path) -> None:
    code, _, outputs = acted(tmp_path, PLAN="gate.toml", CODE="4")
    assert (code, outputs["verdict"]) == (4, "")
    assert Path(outputs["run"]).is_dir()


def test_no_input_of_the_action_is_read_by_the_shell(tmp_path: Path) -> None:
    hostile = "$(touch hacked) `touch hacked`; touch hacked & \"'"
    code, asked, _ = acted(
        tmp_path,
        PLAN=hostile,
        BASE="--" + hostile,
        HEAD=hostile,
        WITHIN=hostile,
        EXTRA_ARGUMENTS=f"--metric\n{hostile}\n",
    )
    assert code == 0
    assert asked[1] == f"--plan={hostile}"
    assert asked[3:] == [
        f"--within={hostile}",
        "--metric",
        hostile,
        "--",
        f"--{hostile}",
        hostile,
    ]
    assert not (tmp_path / "hacked").exists()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of the shop with one commit, on a branch of its own."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # of a hook that runs these tests
    for name, value in {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }.items():
        monkeypatch.setenv(name, value)
    shop = tmp_path / "shop"
    shutil.copytree(EXAMPLES / "shop", shop, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    git(shop, "init", "--quiet", "--initial-branch=feature")
    commit(shop)
    git(shop, "update-ref", "refs/remotes/origin/main", "HEAD")
    return shop


def git(shop: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=shop, check=True, capture_output=True, encoding="utf-8"
    ).stdout


def commit(shop: Path) -> None:
    git(shop, "add", ".")
    git(shop, "commit", "--quiet", "--message=x")


def gated(shop: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GATE, *words], cwd=shop, env={**os.environ, **env}, capture_output=True, encoding="utf-8"
    )


@pytest.fixture
def stub(tmp_path: Path) -> dict[str, str]:
    """A program in place of brownout that lists both checkouts, and their contents."""
    program = tmp_path / "stub"
    program.write_text(
        """#!/bin/sh
printf '%s\\n' "$@" >"$ASKED"
for plan; do case $plan in */head/brownout.toml) work=${plan%/head/*} ;; esac; done
cat "$work"/base/version "$work"/head/version "$work"/base/ready "$work"/head/ready >>"$ASKED"
exit "$CODE"
""",
        encoding="utf-8",
    )
    program.chmod(0o755)
    asked = str(tmp_path / "asked")
    return {"BROWNOUT": str(program), "ASKED": asked, "CODE": "0", "SETUP": "echo set up >ready"}


def test_the_gate_compares_the_base_with_the_head_and_leaves_nothing_behind(
    clone: Path, stub: dict[str, str]
) -> None:
    for version in ("old", "new"):
        (clone / "version").write_text(f"{version}\n", encoding="utf-8")
        commit(clone)
    (clone / "version").write_text("not committed\n", encoding="utf-8")
    found = gated(clone, "HEAD^", "--at", "40", **{**stub, "CODE": "3"})
    assert found.returncode == 3, found.stderr
    asked = Path(stub["ASKED"]).read_text(encoding="utf-8").splitlines()
    plan = asked[4]
    assert asked[:7] == ["compare", "base", "head", "--plan", plan, "--out", "runs"]
    assert asked[7:] == ["--at", "40", "old", "new", "set up", "set up"]
    assert git(clone, "worktree", "list").count("\n") == 1
    assert not Path(plan).parent.parent.exists()


def test_the_default_base_of_the_gate_is_the_branch_point(
    clone: Path, stub: dict[str, str]
) -> None:
    (clone / "version").write_text("of main\n", encoding="utf-8")
    commit(clone)
    git(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    for version in ("between", "of the branch"):
        (clone / "version").write_text(f"{version}\n", encoding="utf-8")
        commit(clone)
    assert gated(clone, **stub).returncode == 0
    assert Path(stub["ASKED"]).read_text(encoding="utf-8").splitlines()[7:9] == [
        "of main",
        "of the branch",
    ]


def test_errors_of_the_gate_never_look_like_a_regression(
    clone: Path, stub: dict[str, str], tmp_path: Path
) -> None:
    found = [
        (gated(clone, "no-such-commit", **stub), 2, "there is no commit 'no-such-commit'"),
        (gated(clone, "--all", **stub), 2, "there is no commit '--all'"),
        (gated(clone, **stub, PLAN="other.toml"), 2, "other.toml is not in HEAD"),
        (gated(clone, **{**stub, "SETUP": "false"}), 4, "cannot be set up with: false"),
        (gated(tmp_path, **stub), 2, "run it in a clone"),
    ]
    for end, code, text in found:
        assert end.returncode == code, end.stderr
        assert text in end.stderr
    assert not Path(stub["ASKED"]).exists()
    assert git(clone, "worktree", "list").count("\n") == 1


def test_a_head_that_takes_longer_does_not_pass_the_gate(clone: Path, tmp_path: Path) -> None:
    main = clone / "main.py"
    quick = 'async with app.state.payments.get("/charge") as answer:\n'
    text = main.read_text(encoding="utf-8")
    assert quick in text
    main.write_text(
        text.replace("import os\n", "import asyncio\nimport os\n").replace(
            quick, f"await asyncio.sleep(0.1)\n    {quick}"
        ),
        encoding="utf-8",
    )
    commit(clone)
    # The environment of these tests in place of two new ones, which a network would be needed for.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    found = gated(
        clone,
        "HEAD^",
        # Short windows hold too few requests for a p95.
        *("--metric", "p50", "--settle", "0s", "--measure", "1s", "--within", "90s"),
        *("--at", "2"),
        SETUP=f"mkdir -p .venv/bin && cp '{python}' .venv/bin/python",
        BROWNOUT=str(Path(sys.executable).with_name("brownout")),
        OUT=str(tmp_path / "runs"),
    )
    assert found.returncode == 1, found.stdout + found.stderr
    folder = Path(found.stdout.splitlines()[-1])
    assert (
        json.loads((folder / "run.json").read_text(encoding="utf-8"))["verdicts"][0]["verdict"]
        == "WORSE"
    )
    assert results.read(folder).deployments.keys() == {"base", "head"}
