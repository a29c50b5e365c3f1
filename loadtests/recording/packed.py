"""zlib with a bound: a short text of a file must not become hundreds of megabytes."""

import zlib


def unpacked(data: bytes, most: int) -> bytes:
    """
    Return what was compressed.

    Args:
        most: bytes of the result.

    Raises:
        ValueError: it is longer than that, cut off, or not compressed.
    """
    decompressor = zlib.decompressobj()
    try:
        found = decompressor.decompress(data, most)
        if decompressor.eof:
            return found
        if decompressor.decompress(decompressor.unconsumed_tail, 1):
            raise ValueError(f"it is longer than {most:,} bytes")
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if decompressor.eof:
        return found
    raise ValueError("its end is missing")
