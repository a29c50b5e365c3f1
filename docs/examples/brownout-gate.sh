#!/usr/bin/env bash
# Is what is checked out slower than the commit that it goes into? Both are checked out side by
# side, each gets its own environment, and brownout runs them in turns on this machine.
#
#     brownout-gate.sh [BASE [ARGUMENT...]]
#
# BASE      the commit to compare with; without it, where HEAD left origin/main
# ARGUMENT  further ones for `brownout compare`, such as --at 40
#
# From the environment:
# PLAN      the plan's path in the repository; its deployments `base` and `head` have their `cwd`
#           in ../base and in this checkout, which are folders of one parent (brownout.toml)
# SETUP     what makes a checkout ready to run, in its folder
# OUT       takes the run's folder (runs)
# BROWNOUT  the program (brownout)
#
# Ends with the exit code of `brownout compare`: 0 fine, 1 worse, 2 a mistake in what was asked,
# 3 not decided, 4 one of the two did not start. What is not committed takes no part.
set -euo pipefail

PLAN=${PLAN:-brownout.toml}
SETUP=${SETUP:-python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt}
OUT=${OUT:-runs}
BROWNOUT=${BROWNOUT:-brownout}

end() { # CODE TEXT
    echo "brownout-gate: $2" >&2
    exit "$1"
}

git rev-parse --git-dir >/dev/null || end 2 "run it in a clone"
if [ $# -gt 0 ]; then
    wanted=$1
    shift
else
    wanted=$(git merge-base HEAD origin/main) || end 2 "which commit is the base? None was given, \
and HEAD and origin/main have none in common (a shallow clone lacks it: fetch more of it)"
fi
base=$(git rev-parse --quiet --verify --end-of-options "$wanted^{commit}") ||
    end 2 "there is no commit '$wanted' here (a shallow clone may lack it: fetch it)"
git cat-file -e "HEAD:$PLAN" 2>/dev/null ||
    end 2 "$PLAN is not in HEAD; PLAN is the path of a committed plan, from the repository's top"

work=$(mktemp -d)
trap 'rm -rf "$work"; git worktree prune' EXIT

for side in base head; do
    commit=HEAD
    [ "$side" = head ] || commit=$base
    # Hooks are for those who work in a checkout.
    git -c core.hooksPath=/dev/null worktree add --quiet --detach "$work/$side" "$commit" ||
        end 4 "$side ($commit) cannot be checked out"
    (cd "$work/$side" && bash -euo pipefail -c "$SETUP") ||
        end 4 "$side ($commit) cannot be set up with: $SETUP"
done

code=0
"$BROWNOUT" compare base head --plan "$work/head/$PLAN" --out "$OUT" "$@" || code=$?
exit "$code"
