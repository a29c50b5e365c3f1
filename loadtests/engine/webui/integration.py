"""Our page in Locust's own: a tab with the same points as a table, and links.

By what Locust documents (extended tabs, tables and downloads), and one link outside of what its
script draws, which is left out should its page change.
"""

import json
from typing import Any

from flask import Response, request

from loadtests.engine.webui.shown import Shown

TAB = "degradation"
_LINK = (
    '<a href="{base}/degradation/" style="position:fixed;left:20px;bottom:20px;z-index:2000;'
    "padding:10px 18px;border-radius:8px;background:#0072b2;color:#fff;font:600 15px system-ui,"
    'sans-serif;text-decoration:none;box-shadow:0 2px 10px rgb(0 0 0 / .3)">'
    "Degradation curves</a>"
)


def install(web_ui: Any, base: str, shown: Shown) -> None:
    web_ui.template_args |= {
        "extended_tabs": [{"key": TAB, "title": "Degradation"}],
        "extended_tables": [
            {
                "key": TAB,
                "structure": [
                    {"key": name, "title": title}
                    for name, title in (
                        ("deployment", "Deployment"),
                        ("level", "Level"),
                        ("throughput", "Throughput (/s)"),
                        ("p50", "p50 (ms)"),
                        ("p95", "p95 (ms)"),
                        ("p99", "p99 (ms)"),
                        ("errors", "Errors (%)"),
                        ("state", "State"),
                    )
                ],
            }
        ],
        "extended_csv_files": [
            {"href": f"{base}/degradation/", "title": "Open the degradation curves"}
        ],
    }

    @web_ui.app.after_request  # type: ignore[untyped-decorator]
    def add(response: Response) -> Response:
        if request.path == f"{base}/stats/requests" and response.is_json:
            rows = shown.get("rows")
            data = json.loads(rows.data) if rows else []
            stats = {**response.get_json(), "extended_stats": [{"key": TAB, "data": data}]}
            response.set_data(json.dumps(stats))
        elif request.endpoint == "locust.index" and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            response.set_data(page.replace("</body>", _LINK.format(base=base) + "</body>", 1))
        return response
