"""What a node refuses and reports. An operator reads the docstrings of these classes."""

from typing import Literal

# Consensus rules that a block or transaction can break (docs/consensus.md). Programs match on codes: they never change.
RuleCode = Literal[
    # a block
    "bad_block_field",
    "bad_block_fields",
    "bad_reward",
    "block_too_large",
    "other_variant",
    "reward_missing",
    "sealer_missing",
    "sealer_not_allowed",
    "sealer_signature_invalid",
    "supply_not_conserved",
    "timestamp_too_low",
    "too_many_transactions",
    "wrong_difficulty",
    "wrong_genesis",
    "wrong_index",
    "wrong_previous_hash",
    "wrong_proof",
    "wrong_reward",
    "wrong_root",
    # a transaction, on this ledger
    "bad_recipient",
    "balance_overflow",
    "insufficient_allowance",
    "insufficient_funds",
    "no_accounts",
    "nonce_gap",
    "nonce_too_low",
    "transaction_too_large",
    "wrong_chain_id",
    # its signature, and the raw Ethereum transaction that may be in its place
    "access_list_not_empty",
    "bad_signature",
    "contract_creation",
    "fee_too_high",
    "fields_differ",
    "gas_limit_too_large",
    "gas_too_low",
    "high_s",
    "intrinsic_gas_too_low",
    "malformed_transaction",
    "nonce_too_high",
    "number_too_large",
    "priority_above_max",
    "unprotected_transaction",
    "unsupported_type",
    "wrong_public_key",
    # a call of the token
    "bad_call_data",
    "no_such_contract",
    "read_only_call",
    "token_takes_no_value",
    "unknown_selector",
]

# What is wrong with the form of something that was sent.
InputCode = Literal[
    # JSON
    "bad_text",
    "duplicate_key",
    "float_refused",
    "item_too_long",
    "malformed_json",
    "not_finite",
    "number_too_long",
    "too_deep",
    # a field of a transaction
    "bad_address",
    "bad_amount",
    "bad_chain_id",
    "bad_checksum",
    "bad_data",
    "bad_nonce",
    "bad_public_key",
    "bad_signature",
    "missing_field",
    "nonce_too_high",
    "not_an_object",
    "unknown_field",
    "unknown_scheme",
    "unknown_type",
    # another argument
    "bad_argument",
    "bad_batch_size",
    "bad_hash",
    "bad_hash_rate",
    "bad_locator",
    "bad_name",
    "bad_nodes",
    "bad_number",
    "bad_peer_url",
    "bad_private_key",
    "bad_scopes",
    "bad_typed_data",
    "not_a_batch",
    "wrong_fields",
]


class NodeError(Exception):
    """Anything that Quarry itself refuses or reports, as opposed to a bug."""


class Refusal(NodeError):
    """A refusal with a code that programs match on.

    Args:
        code: stable snake_case name.
        message: one sentence for people. It never repeats text of the input; numbers and hashes that were checked may
            stand in it.
        field: the JSON field at fault, where there is one.
    """

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class RuleError(Refusal):
    """A block or transaction broke a consensus rule, which `code` names. Never retried: it stays invalid."""

    def __init__(self, code: RuleCode | InputCode, message: str, *, field: str | None = None) -> None:
        super().__init__(code, message, field=field)


class InputError(Refusal):
    """Something is malformed: bad JSON, a wrong type, an impossible number."""

    code: InputCode

    def __init__(self, code: InputCode, message: str, *, field: str | None = None) -> None:
        super().__init__(code, message, field=field)

    def in_block(self) -> RuleError:
        """The same as a broken rule: a block that holds something malformed is invalid."""
        return RuleError(self.code, self.message, field=self.field)


class ShapeError(InputError):
    """A request has unknown fields or lacks some; otherwise it is well-formed."""


class TooEarly(NodeError):
    """A block's timestamp lies too far in the future. Retried later, and never remembered as invalid."""
