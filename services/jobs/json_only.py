"""RQ without pickle: importing this module makes JSON the default serializer of RQ and rq-dashboard.

Unpickling a job runs code of its author's choice. Most of RQ takes a serializer as an argument; its groups, its worker
pool and rq-dashboard use the default, so the default itself is replaced. The last two copy it when they are imported:
import this module before them.
"""

import rq.serializers
from rq.serializers import JSONSerializer as SERIALIZER

__all__ = ["SERIALIZER"]

rq.serializers.DefaultSerializer = SERIALIZER  # type: ignore[misc, assignment] # replaced on purpose
rq.serializers.PickleSerializer = SERIALIZER  # type: ignore[assignment] # replaced on purpose
rq.serializers.SERIALIZER_ALIASES["pickle"] = SERIALIZER
