"""Errors of connections as messages have them, without numbers of the system."""

import http.client
import re
import ssl

REFUSED = "the connection was refused"


def described(error: Exception) -> str:
    """Return what went wrong with a connection, in words that a user knows."""
    match error:
        case ConnectionRefusedError():
            return REFUSED
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            return "the connection was closed without an answer"
        case http.client.IncompleteRead():
            return "the connection was closed in the middle of the answer"
        case ssl.SSLCertVerificationError():
            return f"TLS failed: certificate verify failed: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case http.client.BadStatusLine():
            return "the answer is not HTTP"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
