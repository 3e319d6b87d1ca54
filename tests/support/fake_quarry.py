"""A program in place of `quarry up --json`: it says that nodes are ready, answers for them, and ends with its input.

Run as a script. The variable FAKE_QUARRY names what goes wrong; FAKE_LOG a file for arguments and environment.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODE = os.environ.get("FAKE_QUARRY", "")
HASH = "ab" * 32


class State:
    """A chain that only has a height."""

    height = 1
    jobs = 0


CONTROLS: list[Any] = []  # what was asked of the links
SNAPSHOTS: dict[str, int] = {}  # id → height


class Handler(BaseHTTPRequestHandler):
    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        status, value = 200, self.value(path, body)
        if isinstance(value, dict) and "detail" in value:
            status = 409
        if value is None:
            status, value = 404, {"code": "not_found", "detail": "Nothing here."}
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = respond

    def value(self, path: str, body: bytes) -> Any:
        if path == "/status":
            return {"chain_id": 847731, "height": State.height}
        if path == "/mine":
            if MODE != "slow mining":
                State.height += 1
                return {"hash": HASH}
            State.jobs = 0
            return {"job": "j1"}
        if path == "/jobs/j1":
            State.jobs += 1
            if State.jobs < 2:
                return {"id": "j1", "status": "started", "block": None}
            State.height += 1
            return {"id": "j1", "status": "finished", "block": HASH}
        if path == "/links/control":
            asked = json.loads(body)
            if asked["call"] == "partition" and [9] in asked["groups"]:
                return {"code": "", "detail": "There is no node 9."}
            CONTROLS.append(asked)
            return {}
        if path == "/controls":
            return CONTROLS
        if path == "/rpc":
            request = json.loads(body)
            return {"jsonrpc": "2.0", "id": request["id"], **self.rpc(request["method"], request["params"])}
        return None

    def rpc(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_blockNumber":
            return {"result": hex(State.height)}
        if method == "echo":
            return {"result": params}
        if method == "refuse":
            return {"error": {"code": 3, "message": "execution reverted", "data": "0x08c379a0"}}
        if method == "evm_snapshot" and MODE != "no snapshots":
            SNAPSHOTS[name := f"0x{len(SNAPSHOTS) + 1:x}"] = State.height
            return {"result": name}
        if method == "evm_revert" and MODE != "no snapshots":
            if params[0] not in SNAPSHOTS:
                return {"result": False}
            State.height = SNAPSHOTS.pop(params[0])
            return {"result": True}
        return {"error": {"code": -32601, "message": f"the method {method} does not exist/is not available"}}

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    arguments = sys.argv[1:]
    if log := os.environ.get("FAKE_LOG"):
        Path(log).write_text(json.dumps({"arguments": arguments, "environment": dict(os.environ), "pid": os.getpid()}))
    if MODE == "fails":
        sys.stderr.write("first line\nquarry: The port is taken.\n")
        sys.exit(2)
    if MODE == "nonsense":
        print("Hello!", flush=True)
    if MODE == "silent":
        print("quarry: compiling", file=sys.stderr, flush=True)
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        count = int(arguments[arguments.index("--nodes") + 1]) if "--nodes" in arguments else 1
        names = [f"node{number}" for number in range(1, count + 1)]
        record: dict[str, Any] = {
            "nodes": [{"name": name, "url": url, "address": "0x01", "logs": f"/logs/{name}"} for name in names],
            "development_accounts": [{"address": "0x02", "private_key": "0x03"}],
        }
        if "--links" in arguments:
            record["links_url"] = f"{url}/links"
        if MODE == "with door":
            for item in record["nodes"]:
                item |= {"rpc_url": f"{url}/rpc", "ws_url": "ws://127.0.0.1:8545"}
        print(json.dumps(record), flush=True)
    if MODE == "noisy":
        for stream in (sys.stdout, sys.stderr):
            stream.write("x" * 500_000 + "\n")
            stream.flush()
        State.height = 99
    if MODE == "dies":
        time.sleep(0.3)
        sys.stderr.write("quarry: The data are damaged.\n")
        sys.exit(1)
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Event().wait()
    while os.read(0, 65_536):
        pass
    if MODE == "fails at the end":
        sys.stderr.write("quarry: The state was not written.\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
