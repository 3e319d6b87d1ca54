"""Private keys that sign transactions: our own scheme, and that of Ethereum's wallets."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from shared import ethereum, transaction
from shared.amounts import parse_amount
from shared.chain_spec import ChainSpec
from shared.errors import NodeError
from shared.keys import KeyPair

Scheme = Literal["ed25519", "ethereum"]


class CannotSign(NodeError):
    """A key of this scheme cannot sign such a transaction."""


class Signer(Protocol):
    """A private key of either scheme that signs transactions."""

    @property
    def scheme(self) -> Scheme:
        """Its signature scheme."""

    @property
    def address(self) -> str:
        """The account whose transactions it signs."""

    def payable_fee(self, units: int) -> int:
        """The least fee that its transfers can pay and that is at least `units`; base units."""

    def sign(self, unsigned: dict[str, Any], spec: ChainSpec) -> dict[str, Any]:
        """The signed transaction's JSON object.

        Args:
            unsigned: the unsigned part in its normal form. Its sender is our address, and its fee is payable.
        """


@dataclass(frozen=True, slots=True)
class Ed25519Signer:
    """Signs the canonical unsigned part with Ed25519 (docs/consensus.md)."""

    key: KeyPair
    scheme: Scheme = "ed25519"

    @property
    def address(self) -> str:
        return self.key.address

    def payable_fee(self, units: int) -> int:
        return units

    def sign(self, unsigned: dict[str, Any], spec: ChainSpec) -> dict[str, Any]:
        return transaction.sign(unsigned, self.key)


@dataclass(frozen=True, slots=True)
class EthereumSigner:
    """Signs as wallets do: the signature is a raw EIP-1559 transaction."""

    private_key: bytes = field(repr=False)  # 32 bytes
    address: str
    scheme: Scheme = "ethereum"

    def payable_fee(self, units: int) -> int:
        # A raw transaction names a price per gas, so its fee is a multiple of the gas.
        gas = ethereum.GAS["transfer"]
        return -(-units // gas) * gas

    def sign(self, unsigned: dict[str, Any], spec: ChainSpec) -> dict[str, Any]:
        """Sign a plain transfer.

        Raises:
            CannotSign: it is something else, or its fee is not payable.
            RuleError: the ledger refuses it, such as a transfer to the token's address.
        """
        if unsigned["type"] != "transfer" or "data" in unsigned:
            raise CannotSign(
                "A key of the ethereum scheme signs plain transfers only: leave the data out, or use an Ed25519 wallet."
            )
        gas, fee = ethereum.GAS["transfer"], parse_amount(unsigned["fee"], field="fee")
        if fee % gas:
            raise CannotSign(f"The fee of an ethereum transfer must be a multiple of {gas} base units.")
        raw = ethereum.sign_raw(
            private_key=self.private_key,
            chain_id=unsigned["chain_id"],
            nonce=unsigned["nonce"],
            to=unsigned["recipient"],
            gas=gas,
            gas_price=fee // gas,
            value=parse_amount(unsigned["amount"]),
        )
        return transaction.from_raw(raw, spec)
