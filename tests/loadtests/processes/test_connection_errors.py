"""Errors of connections are told in words, without numbers of the system."""

import errno
import http.client
import os

import pytest

from loadtests.processes.connection_errors import described


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "the connection was refused"),
        (ConnectionResetError(), "the connection was closed without an answer"),
        (OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)), "No route to host"),
        (TimeoutError("timed out"), "timed out"),
        (http.client.BadStatusLine("SSH-2.0"), "the answer is not HTTP"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_connection_errors_are_described_without_an_errno(error: Exception, text: str) -> None:
    assert described(error) == text
