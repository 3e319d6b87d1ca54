"""web3.py over a WebSocket: `python web3py_ws.py URL`. Says "ready" once subscribed; at the end what it was told up to
height 12, as JSON."""

import asyncio
import json
import sys
from typing import Any

from web3 import AsyncWeb3, WebSocketProvider


async def main() -> None:
    told: dict[str, Any] = {"heads": [], "logs": [], "removed": [], "pending": []}
    async with AsyncWeb3(WebSocketProvider(sys.argv[1])) as web3:
        heads = await web3.eth.subscribe("newHeads")
        logs = await web3.eth.subscribe("logs", {})
        pending = await web3.eth.subscribe("newPendingTransactions")
        print("ready", flush=True)
        ends: float | None = None
        stream = web3.socket.process_subscriptions()
        while True:
            left = None if ends is None else ends - asyncio.get_running_loop().time()
            try:
                message = await asyncio.wait_for(anext(stream), left)
            except (TimeoutError, StopAsyncIteration):
                break
            result: Any = message["result"]
            if message["subscription"] == heads:
                told["heads"].append(result["number"])
                if result["number"] == 12:
                    ends = asyncio.get_running_loop().time() + 0.5
            elif message["subscription"] == logs:
                told["removed" if result["removed"] else "logs"].append(result["blockHash"].to_0x_hex())
            elif message["subscription"] == pending:
                told["pending"].append(result.to_0x_hex())
        told["chainId"] = await web3.eth.chain_id
    print(json.dumps(told), flush=True)


asyncio.run(main())
