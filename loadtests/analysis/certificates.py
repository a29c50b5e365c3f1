"""Which services were measured over TLS without a look at their certificates."""

from loadtests.analysis.inputs.records import Record


def unchecked(record: Record) -> list[str]:
    """Return a sentence where the load generator checked no certificate; else none."""
    names = list(
        dict.fromkeys(
            one.stage.deployment
            for one in record.stages
            if one.stage.target.startswith("https:") and one.stage.trust.verify is False
        )
    )
    if not names:
        return []
    one = len(names) == 1
    return [
        f"{' and '.join(names)} {'was' if one else 'were'} measured over TLS, and "
        f"{'its certificate was' if one else 'their certificates were'} not checked: ca or verify "
        "in the plan has it checked."
    ]
