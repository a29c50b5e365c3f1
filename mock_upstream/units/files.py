"""A file whose bytes are an answer: read once, when the profile that names it is."""

from dataclasses import dataclass, field
from mimetypes import guess_type
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, ValidationInfo, WithJsonSchema

MOST_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class File:
    path: str  # absolute
    content: bytes = field(repr=False)

    @property
    def content_type(self) -> str:
        """The content type by the file's name."""
        return guess_type(self.path)[0] or "application/octet-stream"


def _file(value: object, info: ValidationInfo) -> File:
    if isinstance(value, File):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write a file's name")
    context = info.context or {}
    known: File | None = context.get("files", {}).get(value)
    if known is not None:
        return known
    folder: Path | None = context.get("folder")
    if folder is None:
        raise ValueError("no file is read here; name it in a profile's file instead")
    path = (folder / value).absolute()
    try:
        with path.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{value!r} cannot be read: {reason}") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"{value!r} has more than {MOST_BYTES:,} bytes")
    return File(str(path), content)


FileName = Annotated[
    InstanceOf[File],
    BeforeValidator(_file),
    PlainSerializer(lambda file: file.path),
    WithJsonSchema({"type": "string"}),
]
"""
Text in a profile. A relative one lies in the folder of the validation's context, {"folder": Path};
without a folder none is read. {"files": {path: File}} are there already.
"""
