"""web3.py against a node: `python web3py.py URL OWNER_KEY SPENDER_KEY`. Exits 0, or fails at the first surprise."""

import sys
from collections import Counter
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from web3 import HTTPProvider, Web3
from web3.exceptions import BadFunctionCallOutput, ContractLogicError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

NOBODY = "0x" + "00" * 20
TOKEN = Web3.to_checksum_address("0x0000000000000000000000000000000000005eed")


def function(name: str, inputs: str, output: str, kind: str = "view") -> dict[str, Any]:
    arguments = [{"name": "", "type": item} for item in inputs.split()]
    return {
        "type": "function", "name": name, "stateMutability": kind, "inputs": arguments,
        "outputs": [{"name": "", "type": output}],
    }  # fmt: skip


ABI: list[dict[str, Any]] = [
    function("name", "", "string"),
    function("symbol", "", "string"),
    function("decimals", "", "uint8"),
    function("totalSupply", "", "uint256"),
    function("balanceOf", "address", "uint256"),
    function("allowance", "address address", "uint256"),
    function("transfer", "address uint256", "bool", "nonpayable"),
    function("approve", "address uint256", "bool", "nonpayable"),
    function("transferFrom", "address address uint256", "bool", "nonpayable"),
    {
        "type": "event", "name": "Transfer", "anonymous": False,
        "inputs": [
            {"name": "from", "type": "address", "indexed": True}, {"name": "to", "type": "address", "indexed": True},
            {"name": "value", "type": "uint256", "indexed": False},
        ],
    },
]  # fmt: skip


def refused(call: Any, kind: type[Exception], words: str) -> None:
    """`call()` raises `kind`, which says `words`."""
    try:
        call()
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{words}: not refused")


def main(url: str, owner_key: str, spender_key: str) -> None:
    web3: Any = Web3(HTTPProvider(url))
    owner, spender = Account.from_key(owner_key), Account.from_key(spender_key)
    web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build([owner, spender]), layer=0)
    web3.eth.default_account = owner.address
    token = web3.eth.contract(TOKEN, abi=ABI)

    def mined(sent: Any) -> Any:
        return web3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.05)

    assert web3.is_connected()
    assert web3.client_version.startswith("anvil-compatible Quarry/")
    assert (web3.eth.chain_id, web3.net.version, web3.eth.syncing) == (847731, "847731", False)
    assert web3.eth.get_code(TOKEN) == b"\xfe" and web3.eth.get_code(owner.address) == b""
    assert web3.eth.get_storage_at(TOKEN, 0) == bytes(32)

    functions = token.functions
    assert (functions.name().call(), functions.symbol().call(), functions.decimals().call()) == ("Quarry", "QRY", 18)
    assert functions.totalSupply().call() >= 100_000 * 10**18
    assert functions.balanceOf(owner.address).call() == web3.eth.get_balance(owner.address)

    # Coin, by legacy and by EIP-1559; the middleware fills in what is missing, as a wallet does.
    to = Account.create().address
    for fields, kind in (({"gasPrice": 10**9}, 0), ({}, 2)):
        before = web3.eth.get_balance(to)
        receipt = mined(web3.eth.send_transaction({"from": owner.address, "to": to, "value": 5, **fields}))
        assert (receipt.status, receipt.type, receipt.gasUsed, receipt.contractAddress) == (1, kind, 21000, None)
        assert web3.eth.get_balance(to) == before + 5
        assert web3.eth.get_balance(to, receipt.blockNumber - 1) == before
        block = web3.eth.get_block(receipt.blockHash, full_transactions=True)
        assert [item.hash for item in block.transactions][receipt.transactionIndex] == receipt.transactionHash
        assert web3.eth.get_transaction(receipt.transactionHash).blockNumber == receipt.blockNumber
        assert web3.eth.get_block_receipts(receipt.blockNumber)[receipt.transactionIndex] == receipt
    assert web3.eth.estimate_gas({"from": owner.address, "to": to, "value": 1}, "latest") == 21000
    assert web3.eth.get_block("pending")["hash"] is None

    # Events.
    watching = token.events.Transfer.create_filter(from_block="latest", argument_filters={"to": to})
    receipt = mined(functions.transfer(to, 7).transact())
    assert receipt.gasUsed == 60000
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert (event.args["from"], event.args.to, event.args.value) == (owner.address, to, 7)
    assert [item.transactionHash for item in watching.get_new_entries()] == [receipt.transactionHash]
    assert watching.get_new_entries() == []
    assert web3.eth.uninstall_filter(watching.filter_id)
    (found,) = token.events.Transfer.get_logs(from_block=receipt.blockNumber, argument_filters={"to": to})
    assert found.transactionHash == receipt.transactionHash

    # Block 0, the chain spec; and balances from the events since then.
    spec = web3.eth.get_block("earliest")
    assert (spec.number, spec.parentHash, spec.hash) == (0, bytes(32), web3.eth.get_block(1).parentHash)
    assert web3.eth.get_block(spec.hash) == web3.eth.get_block(0) == spec
    (allocating,) = web3.eth.get_block_receipts(0)
    assert allocating == web3.eth.get_transaction_receipt(spec.transactions[0])
    assert web3.eth.get_transaction(spec.transactions[0]).blockNumber == 0
    given = token.events.Transfer().process_receipt(allocating)
    assert {item.args.value for item in given} == {10_000 * 10**18} and len(given) == 10
    assert {web3.eth.get_balance(item.args.to, 0) for item in given} == {10_000 * 10**18}
    tip = web3.eth.block_number
    balances: Counter[str] = Counter()
    for item in token.events.Transfer.get_logs(from_block=0, to_block=tip):
        balances[item.args["from"]] -= item.args.value
        balances[item.args.to] += item.args.value
    assert functions.totalSupply().call(block_identifier=tip) == -balances.pop(NOBODY)
    for address, expected in balances.items():
        assert web3.eth.get_balance(address, tip) == expected, address

    # An allowance.
    mined(functions.approve(spender.address, 50).transact())
    mined(functions.transferFrom(owner.address, to, 20).transact({"from": spender.address}))
    assert functions.allowance(owner.address, spender.address).call() == 30
    too_much = functions.transferFrom(owner.address, to, 31)
    refused(lambda: too_much.call({"from": spender.address}), ContractLogicError, "ERC20: insufficient allowance")
    refused(
        lambda: too_much.transact({"from": spender.address, "gas": 70000}),
        Web3RPCError,
        "ERC20: insufficient allowance",
    )

    # The accounts of the node, without the middleware that signs here.
    bare: Any = Web3(HTTPProvider(url))
    assert owner.address in bare.eth.accounts and len(bare.eth.accounts) == 10
    receipt = mined(bare.eth.send_transaction({"from": owner.address, "to": to, "value": 5}))
    assert (receipt.status, receipt.type, receipt["from"]) == (1, 2, owner.address)
    assert bare.eth.sign(owner.address, text="quarry") == owner.sign_message(encode_defunct(text="quarry")).signature
    mail: dict[str, Any] = {
        "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Mail": [{"name": "to", "type": "address"}]},
        "primaryType": "Mail", "domain": {"name": "Quarry"}, "message": {"to": to},
    }  # fmt: skip
    expected = owner.sign_message(encode_typed_data(full_message=mail)).signature
    assert bare.eth.sign_typed_data(owner.address, mail) == expected
    refused(lambda: bare.eth.send_transaction({"from": to, "to": to, "gas": 21000}), Web3RPCError, "unknown account")

    # Refusals.
    poor = Account.create()
    pay = {"to": owner.address, "value": 1, "gas": 21000, "gasPrice": 10**9, "chainId": 847731}

    def send(key: Any, **changes: Any) -> Any:
        nonce = web3.eth.get_transaction_count(key.address, "pending")
        return web3.eth.send_raw_transaction(key.sign_transaction({**pay, "nonce": nonce, **changes}).raw_transaction)

    refused(lambda: send(poor), Web3RPCError, "insufficient funds for gas * price + value")
    refused(lambda: send(owner, nonce=0), Web3RPCError, "nonce too low")
    refused(lambda: send(owner, gas=20999), Web3RPCError, "intrinsic gas too low")
    refused(lambda: send(owner, chainId=1), Web3RPCError, "invalid chain id for signer")
    refused(lambda: functions.transfer(to, 1).call({"from": poor.address}), ContractLogicError, "exceeds balance")
    refused(lambda: web3.eth.get_transaction("0x" + "11" * 32), TransactionNotFound, "not found")
    elsewhere = web3.eth.contract(to, abi=ABI)
    refused(lambda: elsewhere.functions.name().call(), BadFunctionCallOutput, "")
    later = web3.eth.get_transaction_count(owner.address) + 1
    first = send(owner, nonce=later)
    refused(lambda: send(owner, nonce=later, gasPrice=10**9 + 1), Web3RPCError, "replacement transaction underpriced")
    refused(lambda: send(owner, nonce=later), Web3RPCError, "already known")
    second = send(owner, nonce=later, gasPrice=11 * 10**8)
    assert first != second
    assert web3.geth.txpool.content()["queued"][owner.address][str(later)]["hash"] == web3.to_hex(second)
    assert int(web3.geth.txpool.status()["queued"], 16) >= 1
    send(owner)
    assert mined(second).status == 1

    with web3.batch_requests() as batch:
        batch.add(web3.eth.get_block("latest"))
        batch.add(functions.symbol())
        block, symbol = batch.execute()
    assert symbol == "QRY" and block.number >= receipt.blockNumber


if __name__ == "__main__":
    main(*sys.argv[1:])
