"""What every answer of the box has, whoever gave it."""

import requests

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
          "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'")


def assert_headers(reply: requests.Response) -> None:
    """standards.md 5.1 and api.md "Pages", each exactly once: what comes twice is joined with a comma here."""
    expected = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
                "Cross-Origin-Resource-Policy": "same-origin"}
    assert {name: reply.headers.get(name) for name in expected} == expected
    assert reply.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert "camera=()" in reply.headers["Permissions-Policy"]
    assert reply.headers["Cache-Control"] in ("no-store", "no-cache")
    assert "Strict-Transport-Security" not in reply.headers, "HSTS would hold for every port of localhost"
    assert reply.headers["Server"] == "nginx"


def assert_problem(reply: requests.Response, status: int, error: str) -> dict:
    """An RFC 9457 document with our stable member `error`."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text}"
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json()["error"] == error and reply.json()["status"] == status
    assert reply.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in reply.headers) == (status == 401)
    assert ("Allow" in reply.headers) == (status == 405)
    assert status not in (429, 503) or int(reply.headers["Retry-After"]) > 0
    assert_headers(reply)
    return reply.json()
