"""
Draw charts, in a process of its own: `python -P -m loadtests.report.charts.vega DESCRIPTOR`.

`pictures` starts it. A request is a line of JSON, and so is its answer. This imports little: the
start of the JavaScript engine takes long enough.
"""

import base64
import json
import socket
import sys
from typing import Any

import vl_convert


def main() -> None:
    """Answer until the other end of the socket is closed."""
    with socket.socket(fileno=int(sys.argv[1])) as line, line.makefile("rb") as requests:
        for request in requests:
            line.sendall(json.dumps(answer(json.loads(request))).encode() + b"\n")


def answer(request: dict[str, Any]) -> dict[str, str]:
    """Return what was asked for: `svg` or `png` (Base64), or `error` where it cannot be drawn."""
    try:
        if "chart" in request:
            config = request["config"]
            svg = vl_convert.vegalite_to_svg(request["chart"], config=config, allowed_base_urls=[])
            return {"svg": svg}
        png = vl_convert.svg_to_png(request["svg"], scale=request["scale"])
        return {"png": base64.b64encode(png).decode()}
    except Exception as error:
        return {"error": str(error)}


if __name__ == "__main__":
    main()
