"""
TLS contexts: to read the certificates of all authorities takes some 17 ms of CPU.

A client makes one, or is given one that was made for it.
"""

from typing import Any

from . import part_of_a_client


def observe(library: Any) -> None:
    contexts = getattr(library, "SSLContext", None)
    if contexts is not None:  # the methods are those of its base class, which cannot be changed
        for name in ("load_verify_locations", "set_default_verify_paths"):
            setattr(contexts, name, part_of_a_client(getattr(contexts, name)))
