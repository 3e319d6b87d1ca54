"""The ten questions about the course, and their answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A question that the course answers."""

    question: str
    answer: str
    steps: tuple[str, ...]  # the steps that answer it, by the ends of their paths


QUESTIONS = (
    Question(
        "What is the hash of a text, and what becomes of it if you change one letter of the text?",
        "A number of fixed length that is computed from the text and stands for it like a fingerprint. If one letter "
        "changes, it becomes an entirely different number, which nobody can tell before computing it.",
        ("hash",),
    ),
    Question(
        "Which key is needed to make a signature, which one to check it, and who has them?",
        "The private key makes it, and only its owner has that. The public key checks it, and everybody may have that.",
        ("signature",),
    ),
    Question(
        "Somebody on the way changes the amount in your transaction. What do the nodes do, and why?",
        "They refuse it, because the signature covers all fields and does not fit the changed ones. Without your "
        "private key nobody can make a new signature.",
        ("transaction",),
    ),
    Question(
        "Somebody sends a copy of a payment that you have signed to the network again. Why do you not pay twice?",
        "Each transaction has a nonce, the number of the account's transaction. The nonce of the copy has been used "
        "already, so the nodes refuse the copy. The nonce cannot be changed, because the signature covers it.",
        ("transaction",),
    ),
    Question(
        "What does a miner look for, and why can it not be calculated?",
        "A number, the proof, with which the hash of the block is small enough for the difficulty. Nobody can tell a "
        "hash before computing it, so the only way is to try one number after the other. To check it takes one hash.",
        ("block", "hash"),
    ),
    Question(
        "Where do new coins come from, and what else does a miner get?",
        "The first transaction of each block is the reward, which pays the miner new coins. With it the miner gets the "
        "fees of the block's other transactions.",
        ("block",),
    ),
    Question(
        "Somebody changes a transaction in an old block. What has to be done to make the chain valid again, and why?",
        "That block and every block after it have to be mined again. The changed block has another hash, so its proof "
        "is not valid any more. The next block names the old hash, and when that is corrected its own hash changes "
        "too, and so on up to the tip.",
        ("chain",),
    ),
    Question(
        "Two miners find a block at the same time, on the same parent. Which chain counts in the end, and what becomes "
        "of the transactions in the other block?",
        "The valid chain with the most work counts, which is the longer one if all blocks are equally difficult; on a "
        "tie the lower hash decides. So as soon as one of the two is ahead, all nodes take it. Transactions that were "
        "only in the dropped block go back to the mempool and can come into a later block; its reward is lost.",
        ("network",),
    ),
    Question(
        "Why does a careful seller wait for several confirmations before handing over the goods?",
        "Another chain may still replace the newest blocks, and the payment with them. The more blocks follow the one "
        "with the payment, the more work a thief has to do again and the less likely it is that he overtakes.",
        ("network", "cost"),
    ),
    Question(
        "What can somebody do who has more than half of the hash rate, and what can he not do?",
        "He can overtake the chain of all others, so he can undo his own payments and keep the transactions of others "
        "out. He cannot spend the coins of others, whose private keys he does not have, nor make coins out of nothing, "
        "because all nodes refuse blocks that break the rules.",
        ("cost",),
    ),
)
