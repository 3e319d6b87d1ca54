"""Raw Ethereum transactions: reading and signing them, and their meaning on this ledger (docs/consensus.md).

- `encoding`: the envelopes, RLP, and the hash that is signed.
- `raw`: reading raw bytes, strictly.
- `calls`: what a transaction means on this ledger.
- `signing`: signing, and the address of a private key.
- `messages`: what is signed that is no transaction: text, and the digest of typed data.
- `typed_data`: the digest of typed data (EIP-712).
"""

from shared.ethereum.calls import GAS, INTRINSIC_GAS, Call, interpret
from shared.ethereum.encoding import ACCESS_LIST, DYNAMIC_FEE, LEGACY
from shared.ethereum.messages import personal_hash, sign_digest
from shared.ethereum.raw import MAX_GAS, MAX_NONCE, MAX_RAW_BYTES, RawTransaction, decode_raw
from shared.ethereum.signing import Fields, address_of_private_key, sign_raw, unsigned_raw
from shared.ethereum.typed_data import typed_data_hash

__all__ = [
    "ACCESS_LIST", "DYNAMIC_FEE", "GAS", "INTRINSIC_GAS", "LEGACY", "MAX_GAS", "MAX_NONCE", "MAX_RAW_BYTES", "Call",
    "Fields", "RawTransaction", "address_of_private_key", "decode_raw", "interpret", "personal_hash", "sign_digest",
    "sign_raw", "typed_data_hash", "unsigned_raw",
]  # fmt: skip
