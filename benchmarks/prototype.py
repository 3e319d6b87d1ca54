"""A bare prototype, to compare submissions with: one Ed25519 verification and one write by a Lua script per request.

It is the least work that Flask, granian and Valkey (`appendfsync always`) can do for a signed transaction, without
rules, mempool or strict JSON. `benchmarks.submission` starts it as `python -m benchmarks.prototype PORT`.
"""

import os
import sys

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from nacl.signing import VerifyKey
from redis import Redis

REDIS_URL = "PROTOTYPE_REDIS_URL"
_WRITE = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return redis.call('RPUSH', KEYS[2], ARGV[1])"


def application() -> Flask:
    """The application of one server process."""
    app = Flask(__name__)
    write = Redis.from_url(os.environ[REDIS_URL]).register_script(_WRITE)

    @app.post("/transactions/new")
    def submit() -> ResponseReturnValue:
        item = request.get_json()
        message = item["message"].encode()
        VerifyKey(bytes.fromhex(item["public_key"])).verify(message, bytes.fromhex(item["signature"]))
        write(keys=["entries", "order"], args=[item["signature"], request.data])
        return jsonify(id=item["signature"][:64]), 201

    return app


def main(port: int) -> None:
    """Serve with as many processes as a node's API has."""
    Granian(
        "benchmarks.prototype:application",
        factory=True,
        port=port,
        interface=Interfaces.WSGI,
        workers=2,
        blocking_threads=96,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    ).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
