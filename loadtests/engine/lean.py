"""
A user for own locustfiles that sends by the lean client of plan requests.

    from locust import task
    from loadtests.engine.lean import LeanUser

    class Shopper(LeanUser):
        @task
        def shop(self):
            self.client.get("/basket", params={"page": 1})

It takes the words of Locust's FastHttpUser for the common cases. It keeps no cookies, follows no
redirects, and sends neither files nor streams; it sends to the user's host alone.
"""

import json as json_text
from collections.abc import Mapping
from time import perf_counter, time
from typing import Any
from urllib.parse import urlencode

import gevent
from locust import User
from requests.structures import CaseInsensitiveDict

from loadtests.engine.answers import AnswerParser
from loadtests.engine.bodies import decoder
from loadtests.engine.calls import head
from loadtests.engine.connection import ClientConnection, Endpoint
from loadtests.engine.failures import RequestFailed
from loadtests.engine.recorder import PHASES
from loadtests.engine.stamps import STAMPS
from loadtests.recording import server_timing
from loadtests.recording.redirects import SAFE


class LeanUser(User):
    """A user whose `client` is a LeanClient of the user's `host`."""

    abstract = True
    network_timeout = 60.0
    """Seconds until an answer must be complete, the making of a connection included."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        if not self.host:
            raise ValueError("a LeanUser needs a host: --host, or `host = ...` in its class")
        self.client = LeanClient(self.host, environment.events.request, self.network_timeout, self)

    def on_stop(self) -> None:
        self.client.close()


class LeanClient:
    """
    Sends one request at a time on one kept connection, and fires Locust's request event for each.

    Args:
        host: URL that each path is added to.
        timeout: of requests that name none; seconds.
        user: what listeners get as the user.
    """

    def __init__(self, host: str, request_event: Any, timeout: float, user: Any = None) -> None:
        self._endpoint = Endpoint(host)
        self._connection = ClientConnection(self._endpoint)
        self._event, self._timeout, self._user = request_event, timeout, user
        self._resolved = False

    def get(self, path: str, **options: Any) -> "Response":
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> "Response":
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> "Response":
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, data: Any = None, **options: Any) -> "Response":
        return self.request("POST", path, data=data, **options)

    def put(self, path: str, data: Any = None, **options: Any) -> "Response":
        return self.request("PUT", path, data=data, **options)

    def patch(self, path: str, data: Any = None, **options: Any) -> "Response":
        return self.request("PATCH", path, data=data, **options)

    def delete(self, path: str, **options: Any) -> "Response":
        return self.request("DELETE", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | str | Mapping[str, Any] | None = None,
        json: Any = None,
        timeout: float | None = None,
        catch_response: bool = False,
        context: Mapping[str, Any] | None = None,
    ) -> "Response":
        """
        Send, wait, and return the answer; one without an answer has the status 0.

        A status of 300 or more is a failure, as no redirect is followed.

        Args:
            name: what it counts as; None: the path.
            params: of the query; as urllib.parse.urlencode takes them.
            data: the body; a mapping is sent as a form.
            json: the body, written as JSON.
            timeout: seconds until the answer must be complete.
            catch_response: the result is used in a `with` block, which calls its `success` or
                `failure`; the request counts when the block ends.
            context: for listeners of the request event.

        Raises:
            ValueError: the path is a URL, or there are both data and json.
        """
        if not path.startswith("/"):
            raise ValueError(f"{path!r} does not begin with /: a LeanUser sends to its host alone")
        if data is not None and json is not None:
            raise ValueError("a request has either data or json")
        if not self._resolved:
            self._endpoint.resolve()
            self._resolved = True
        query = urlencode(params, doseq=True) if params else ""
        if query:
            path += ("&" if "?" in path else "?") + query
        kind, body = _body(data, json)
        given = dict(headers or {})
        if kind and "content-type" not in map(str.lower, given):
            given["Content-Type"] = kind
        url = self._endpoint.target.rstrip("/") + path
        stamped = STAMPS.stamp(url, given)
        sent = _Sent(self._endpoint, method, path, given, body, timeout or self._timeout)
        began_at, began = time(), perf_counter()
        answer, content, error = self._exchange(sent)
        status, fields = (answer.status, answer.fields()) if answer is not None else (0, [])
        response = Response(method, name or path, url, status, fields, content, error)
        size = answer.size if answer is not None else 0
        noted = dict(context or {})

        def count(failure: BaseException | None) -> None:
            self._event.fire(
                request_type=method,
                name=response.name,
                response_time=response.seconds * 1000,
                response_length=size,
                response=response,
                context=noted,
                exception=failure,
                start_time=began_at,
                url=response.url,
                user=self._user,
            )

        ended = perf_counter()
        response.seconds = ended - began
        if stamped and answer is not None:
            header = response.headers.get(server_timing.HEADER)
            body_took = ended - answer.headed_at
            noted[PHASES] = server_timing.phases(header, response.seconds, body_took)
        response.catch(count) if catch_response else count(response.error)
        return response

    def _exchange(self, sent: "_Sent") -> tuple[AnswerParser | None, bytes, BaseException | None]:
        """Return what came, with the body decompressed; and why the request failed."""
        answer = None
        limit = gevent.Timeout.start_new(sent.timeout)
        try:
            answer = self._connection.exchange(sent)
            coded = decoder(answer.header(b"content-encoding"))
            return answer, b"".join(coded(bytes(sent.body))), None
        except (RequestFailed, OSError) as failure:
            return answer, b"", failure
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            return answer, b"", TimeoutError("no complete answer in time")
        finally:
            limit.close()

    def close(self) -> None:
        self._connection.close()


class Response:
    """
    What came back.

    Args:
        status_code: 0 without an answer; then `error` says why.
        content: the body, decompressed.
        error: why the request failed; None: it did not.
    """

    def __init__(
        self,
        method: str,
        name: str,
        url: str,
        status_code: int,
        fields: list[tuple[bytes, bytes]],
        content: bytes,
        error: BaseException | None,
    ) -> None:
        self.method, self.name, self.url = method, name, url
        self.status_code, self.content = status_code, content
        self.headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for name_of_field, bytes_of_value in fields:
            key, value = name_of_field.decode("latin-1"), bytes_of_value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {value}" if key in self.headers else value
        self.seconds = 0.0
        if error is None and status_code >= 300:
            error = RequestFailed(str(status_code), f"status {status_code}")
        self.error = error
        self._count: Any = None

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def text(self) -> str:
        """The body by the charset of its content-type, or UTF-8."""
        _, _, charset = self.headers.get("content-type", "").partition("charset=")
        try:
            return self.content.decode(charset.split(";")[0].strip('" ') or "utf-8", "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, read as JSON. Raises ValueError when it is none."""
        return json_text.loads(self.content)

    def raise_for_status(self) -> None:
        """Raise what the request failed by."""
        if self.error is not None:
            raise self.error

    def catch(self, count: Any) -> None:
        self._count = count

    def success(self) -> None:
        """Count the request as one that succeeded."""
        self._check_block()
        self.error = None

    def failure(self, reason: str | BaseException) -> None:
        """Count the request as one that failed."""
        self._check_block()
        self.error = (
            reason if isinstance(reason, BaseException) else RequestFailed(reason[:99], reason)
        )

    def _check_block(self) -> None:
        if self._count is None:
            raise ValueError("success and failure need catch_response=True and a `with` block")

    def __enter__(self) -> "Response":
        self._check_block()
        return self

    def __exit__(self, _: Any, raised: BaseException | None, __: Any) -> None:
        count, self._count = self._count, None
        if raised is None or isinstance(raised, Exception):  # else the user is stopped
            count(raised or self.error)


class _Sent:
    """One request, which keeps the body of its answer."""

    def __init__(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
    ) -> None:
        self.timeout = timeout
        self.safe, self.bodiless = method in SAFE, method == "HEAD"
        self._data = head(endpoint, method, path, headers, body) + b"\r\n" + body
        self.body = bytearray()

    def data(self) -> bytes:
        return self._data

    def sink(self, _: AnswerParser) -> "_Sent":
        self.body.clear()
        return self

    def feed(self, part: bytes) -> None:
        self.body += part


def _body(data: Any, json: Any) -> tuple[str, bytes]:
    """Its content-type, empty where there is no usual one, and the bytes."""
    if json is not None:
        return "application/json", json_text.dumps(json).encode()
    if data is None:
        return "", b""
    if isinstance(data, bytes):
        return "", data
    if isinstance(data, str):
        return "", data.encode()
    return "application/x-www-form-urlencoded", urlencode(data, doseq=True).encode()
