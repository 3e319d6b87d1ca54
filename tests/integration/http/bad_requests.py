"""The bad requests of `test_bad_input.py`: what is sent, and the status and code that must come back."""

import json
from collections.abc import Iterator

from tests.integration.http.bad_transactions import (
    MARKER,
    SIGNED,
    SUBMIT,
    Bad,
    bad_addresses,
    bad_numbers,
    bad_shapes,
    bad_signatures,
    bad_texts,
)
from tests.support.keys import TOKEN


def bad_http() -> Iterator[Bad]:
    """Requests that are refused before their content is read."""
    body = json.dumps(SIGNED).encode()
    for kind in (
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonx",
        MARKER,
    ):
        headers = {"Content_Type": kind} if kind else {}
        yield Bad(f"type {kind or 'unsaid'}", 415, "wrong_content_type", body=body, headers=headers)
    for encoding in ("gzip", "deflate", "br", "identity, gzip", MARKER):
        headers = {"Content_Type": "application/json", "Content_Encoding": encoding}
        yield Bad(f"encoding {encoding}", 415, "encoded_body", body=body, headers=headers)
    yield Bad(
        "one byte too many", 413, "too_large", body=b" " * (2**20 + 1), headers={"Content_Type": "application/json"}
    )
    yield Bad("a batch too large", 413, "too_large", path="/transactions/batch", body=b" " * (2**20 + 1))

    for path in (
        "/blocks/../status",
        "/blocks/%2e%2e/status",
        "/blocks/%2e%2e%2fstatus",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%00",
        "/static/%2fetc/passwd",
        "/..",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/;/status",
        "/Status",
        "/status%00",
        "/status%20",
        "/blocks/1/2",
        "/chain.json",
        f"/{MARKER}",
        f"/{'x' * 60_000}",
        "/%ff",
        "/blocks//latest",
    ):
        yield Bad(f"path {path[:40]}", 404, "not_found", "GET", path)
    for name in (
        "..",
        "%2e%2e",
        "%00",
        "%ff",
        "latest%00",
        "latest%0a",
        "%31%00",
        "\uff11",
        "x" * 60_000,
        MARKER,
        "-1",
        "+1",
        "1_0",
    ):
        yield Bad(f"block {name[:40]}", 404, "unknown_block", "GET", f"/blocks/{name}".replace("\uff11", "%EF%BC%91"))
        yield Bad(
            f"transaction {name[:40]}",
            404,
            "unknown_transaction",
            "GET",
            f"/transactions/{name}".replace("\uff11", "%EF%BC%91"),
        )
        yield Bad(f"step {name[:40]}", 404, "unknown_page", "GET", f"/learn/{name}".replace("\uff11", "%EF%BC%91"))

    wholes = (
        "",
        "-1",
        "1.5",
        "1e3",
        "x",
        "%31%00",
        "%20" + "7",
        "7%0A",
        "1_000",
        "%EF%BC%91",
        "9" * 16,
        "9" * 5000,
        MARKER,
        "0x1",
    )
    for path, name in (
        ("/chain", "from"),
        ("/chain", "limit"),
        ("/blocks", "before"),
        ("/blocks", "limit"),
        ("/mempool", "limit"),
        ("/mempool", "offset"),
        ("/learn", "block"),
        ("/learn/anatomy", "block"),
    ):
        for value in wholes:
            yield Bad(f"{path} {name} {value[:20]!r}", 400, "bad_argument", "GET", f"{path}?{name}={value}", field=name)
    for path, value in (
        ("/chain?from=", "0"),
        ("/chain?limit=", "0"),
        ("/chain?limit=", "501"),
        ("/blocks?limit=", "501"),
        ("/mempool?limit=", "0"),
        ("/mempool?offset=", "20001"),
    ):
        yield Bad(f"{path}{value}", 400, "bad_argument", "GET", path + value)
    for value in ("", "-1", "x", "61", "1e1", "nan", "inf", "%EF%BC%91", "1.", "60.001", "9" * 400):
        yield Bad(f"wait {value[:20]!r}", 400, "bad_argument", "POST", f"/mine?wait={value}", field="wait")
    for method, path, name, value in (
        ("GET", "/chain", "limit", "1"),
        ("GET", "/chain", "from", "1"),
        ("GET", "/blocks", "before", "2"),
        ("GET", "/mempool", "offset", "0"),
        ("GET", "/ledger", "kind", "accounts"),
        ("GET", "/ledger", "cursor", "0"),
        ("GET", "/headers", "locator", "0" * 64),
        ("POST", "/mine", "wait", "0"),
    ):
        twice = f"{path}?{name}={value}&{name}={value}"
        yield Bad(f"{path} {name} twice", 400, "bad_argument", method, twice, field=name)

    for method, path in (
        ("PUT", "/status"),
        ("POST", "/status"),
        ("DELETE", "/chain"),
        ("PATCH", "/blocks/1"),
        ("POST", "/tips"),
        ("DELETE", "/tips"),
        ("PUT", "/mining/limit"),
        ("PUT", SUBMIT),
        ("PUT", "/transaction/new"),
        ("DELETE", "/mine"),
        ("POST", "/jobs"),
        ("GET", "/jobs"),
        ("HEAD", "/mine"),
        ("HEAD", "/transaction/new"),
        ("POST", "/rounds/" + "0" * 32),
        ("TRACE", "/status"),
        (MARKER, "/status"),
    ):
        yield Bad(f"{method} {path}", 405, "method_not_allowed", method, path)

    yield Bad("no token", 401, "admin_token_required", "DELETE", "/rounds/" + "0" * 32)
    yield Bad("no token to lift the limit", 401, "admin_token_required", "DELETE", "/mining/limit")
    for name in ("0" * 64, "0" * 63, "A" * 64, "latest", MARKER, "%00", "0" * 5000):
        yield Bad(f"the tip {name[:40]}", 404, "unknown_tip", "GET", f"/tips/{name}")
    yield Bad("no token for all", 401, "admin_token_required", "DELETE", "/jobs")
    for job in ("0" * 32, "0" * 31, "0" * 33, "A" * 32, "x" * 32, "new", "0" * 5000):
        yield Bad(f"the job {job[:40]}", 404, "unknown_job", "DELETE", f"/jobs/{job}")
    for value in (
        f"Bearer {MARKER}",
        "Bearer",
        "Bearer ",
        f"Basic {MARKER}",
        "Basic Og==",
        f"Digest {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer é",
    ):
        headers = {"Authorization": value}
        yield Bad(f"the token {value!r}", 401, "admin_token_required", "DELETE", "/rounds/" + "0" * 32, headers=headers)

    for host in (
        "evil.example",
        "evil.example:5000",
        "127.0.0.1.evil.example",
        "127.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example#localhost",
        "128.0.0.1",
        "0.0.0.0",
        "10.0.0.1:80",
        "[::2]",
        MARKER,
        "127.0.0.1.",
        "localhost:x",
        "127.1",
    ):
        yield Bad(f"host {host}", 403, "host_refused", "GET", "/status", headers={"Host": host})
        yield Bad(f"host {host}, writing", 403, "host_refused", "POST", "/mine?wait=0", headers={"Host": host})


TABLE = [*bad_texts(), *bad_shapes(), *bad_numbers(), *bad_addresses(), *bad_signatures(), *bad_http()]
