"""Jobs as a stranger writes them to the broker, past all of our own code."""

import json
import uuid
import zlib
from typing import Any

from redis import Redis

from services.jobs.queues import MINING


def plant(redis: Redis, data: bytes, **fields: str) -> str:
    """A job as a stranger with access to the broker writes it."""
    job_id = str(uuid.uuid4())
    moment = "2025-06-15T15:06:40.000000Z"
    mapping: Any = {
        "data": data,
        "created_at": moment,
        "enqueued_at": moment,
        "origin": MINING,
        "status": "queued",
        "timeout": "60",
        **fields,
    }
    redis.hset(f"rq:job:{job_id}", mapping=mapping)
    redis.sadd("rq:queues", f"rq:queue:{MINING}")
    redis.rpush(f"rq:queue:{MINING}", job_id)
    return job_id


def json_data(function: str, *args: Any, instance: Any = None) -> bytes:
    return zlib.compress(json.dumps([function, instance, args, {}]).encode())
