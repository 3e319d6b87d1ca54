"""The map of the tests (tests/README.md) is right: every module's tests are found by its path, or are named here."""

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path, PurePath

import pytest

from services.system.programs import ROOT

PRODUCT = ("shared/", "services/", "worker/", "api/", "lab/", "quarrynode/")

# Where a package's tests are, besides its mirror in tests/unit.
FOLDERS = {
    "services": ("tests/integration/store",),
    "services/chain": ("tests/integration/store", "tests/network"),
    "services/connections": ("tests/integration/connections",),
    "services/store": ("tests/integration/store",),
    "services/audit": ("tests/integration/audit",),
    "services/mempool": ("tests/integration/mempool",),
    "services/mining": ("tests/integration/mining",),
    "services/peers": ("tests/network",),
    "services/development": ("tests/integration/development", "tests/integration/rpc"),
    "services/launch": ("tests/integration/launch",),
    "worker": ("tests/integration/worker",),
    "api": ("tests/integration/http",),
    "api/rest": ("tests/integration/http", "tests/network"),
    "api/serving": ("tests/integration/http",),
    "api/rpc": ("tests/integration/rpc",),
    "api/rpc/development": ("tests/integration/rpc", "tests/integration/development"),
    "api/door": ("tests/integration/rpc",),
    "api/explorer": ("tests/integration/explorer",),
    "api/cli/node": ("tests/integration/launch",),
    "lab": ("tests/integration/lab",),
    "lab/real": ("tests/integration/lab",),
    "lab/scenarios": ("tests/integration/lab",),
    "lab/simulated": ("tests/simulation",),
}

# Modules whose tests have another name: why, the tests, and the modules.
ELSEWHERE: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    # shared
    ("one story of a raw transaction: read, interpreted, signed", ("tests/unit/shared/ethereum/test_ethereum.py",),
     ("shared/ethereum/calls.py", "shared/ethereum/encoding.py", "shared/ethereum/raw.py",
      "shared/ethereum/signing.py")),
    ("the rules one by one, against an independent verifier",
     ("tests/consensus/test_header_rules.py", "tests/consensus/test_body_rules.py",
      "tests/consensus/test_transaction_rules.py", "tests/consensus/test_ledger_rules.py",
      "tests/consensus/test_recipient_rules.py", "tests/consensus/test_sealer_rules.py",
      "tests/consensus/test_replay.py"),
     ("shared/sealing.py", "shared/rules/__init__.py", "shared/rules/standard.py", "shared/validation.py",
      "shared/replay.py")),
    ("each class is raised, and its code asserted, where its rule is tested",
     ("tests/consensus/test_header_rules.py", "tests/integration/http/test_bad_input.py"),
     ("services/errors.py", "api/errors.py", "api/reading.py")),
    # lab
    ("schedules run in it; the checker finds what is broken, and a store in memory does what fakeredis does",
     ("tests/simulation/test_simulation.py", "tests/simulation/test_mutants.py"),
     ("lab/simulated/__main__.py", "lab/simulated/checker.py", "lab/simulated/clients.py",
      "lab/simulated/database.py", "lab/simulated/liar.py", "lab/simulated/liveness.py", "lab/simulated/memory.py",
      "lab/simulated/network.py", "lab/simulated/node.py", "lab/simulated/plan.py", "lab/simulated/planting.py",
      "lab/simulated/ports.py", "lab/simulated/schedules.py", "lab/simulated/sealing.py", "lab/simulated/strangers.py",
      "lab/simulated/surroundings.py", "lab/simulated/world.py", "lab/simulated/wsgi.py")),
    ("a lab as scenarios see it", ("tests/simulation/test_lab.py",),
     ("lab/simulated/branches.py", "lab/simulated/chain_door.py", "lab/simulated/claimant.py",
      "lab/simulated/draws.py", "lab/simulated/false_times.py", "lab/simulated/lab_network.py",
      "lab/simulated/mining_node.py",
      "lab/simulated/simulated_node.py", "lab/wallets.py")),
    ("the same in the statistical simulation", ("tests/unit/lab/simulated/tree/test_lab.py",),
     ("lab/simulated/tree/tree_node.py", "lab/simulated/tree/watcher.py")),
    ("what strategies are shown and may answer", ("tests/unit/lab/simulated/tree/test_miner.py",),
     ("lab/strategy.py", "lab/simulated/tree/clocks.py")),
    ("nodes find and hear of blocks", ("tests/unit/lab/simulated/tree/test_network.py",),
     ("lab/simulated/tree/nodes.py",)),
    ("a page that serves, and what it refuses", ("tests/unit/lab/page/test_app.py",), ("lab/page/serving.py",)),
    ("recordings that are replayed and exported", ("tests/unit/lab/test_cli.py",), ("lab/files.py",)),
    ("the router of nodes that the lab did not start", ("tests/integration/lab/test_network.py",),
     ("services/launch/peer_router.py",)),
    ("the router in one piece", ("tests/integration/lab/test_router.py",),
     ("lab/real/exchange.py", "lab/real/links.py", "lab/real/messages.py")),
    ("a front with programs in place of the nodes", ("tests/unit/lab/real/test_front.py",),
     ("lab/real/chain_copy.py", "lab/real/door.py", "lab/real/false_clock.py", "lab/real/going_back.py")),
    ("an attack in virtual time, and what it may be told", ("tests/unit/lab/attack/test_double_spend.py",),
     ("lab/attack/asked.py",)),
    ("an attack as people start it", ("tests/integration/lab/test_attack.py",),
     ("lab/attack/__main__.py", "api/cli/node/attack.py")),
    ("what a front shows of a chain, in both worlds",
     ("tests/unit/lab/real/test_front.py", "tests/simulation/test_front.py"), ("lab/chain_pages.py",)),
    ("real nodes: partition, kill, payment, liar, their nursery's end", ("tests/integration/lab/test_real_lab.py",),
     ("lab/real/claimant.py", "lab/real/lab.py", "lab/real/watcher.py")),
    ("what the node answers about blocks that it refused, and peers that lied", ("tests/network/test_lab_refusals.py",),
     ("lab/real/refusals.py",)),
    ("cuts are the same in the three labs", ("tests/unit/lab/test_cuts.py",),
     ("lab/interface.py", "lab/real/wiring.py")),
    ("each scenario is run with some seeds", ("tests/integration/lab/test_scenarios.py",),
     ("lab/scenarios/crash.py", "lab/scenarios/double_spend.py", "lab/scenarios/fees.py", "lab/scenarios/latency.py",
      "lab/scenarios/liar.py", "lab/scenarios/majority.py", "lab/scenarios/partition.py",
      "lab/scenarios/selfish.py", "lab/scenarios/timewarp.py")),
    ("the command as a process, and its page until it is interrupted", ("tests/integration/lab/test_up.py",),
     ("lab/__main__.py", "lab/real/warden.py", "api/cli/node/lab.py")),
    ("named tokens and the audit log in one story", ("tests/integration/http/test_tokens.py",),
     ("api/audit.py", "api/cli/node/token.py", "services/operators/tokens.py", "services/store/tokens.py")),
    ("how a node mines is seen in its rounds", ("tests/integration/mining/test_modes.py",),
     ("services/mining/policy.py",)),
    ("requests as spans", ("tests/unit/services/system/test_tracing.py",), ("api/serving/traced.py",)),
    ("what exercises ask of a recording", ("tests/unit/lab/page/test_exercises.py",), ("lab/page/facts.py",)),
    # services
    ("children beside processes that the system started", ("tests/integration/launch/test_nursery.py",),
     ("services/launch/children.py", "services/launch/nursery_process.py")),
    ("programs of `quarry up` that are forked, killed and started again", ("tests/integration/launch/test_up.py",),
     ("api/preload.py", "services/launch/nursery_program.py", "worker/preload.py")),
    ("in every node in this process; its parts have tests of their own", ("tests/integration/store/test_append.py",),
     ("services/node.py",)),
    ("the ports: fakes stand in for them, and types are checked by mypy",
     ("tests/unit/repository/test_ports_only.py", "tests/unit/services/jobs/test_queues.py"),
     ("services/ports.py",)),
    ("called by the ticker's schedule", ("tests/integration/worker/test_ticker.py",),
     ("services/housekeeping.py", "worker/housekeeper.py", "services/jobs/totals.py",
      "services/store/slots.py")),
    ("set, read and forgotten by the modes", ("tests/integration/mining/test_modes.py",), ("services/store/modes.py",)),
    ("records are falsified, found and mended in one scene",
     ("tests/integration/audit/test_ledger_faults.py", "tests/integration/audit/test_ledger_differs.py"),
     ("services/audit/full.py", "services/audit/links.py", "services/audit/outcome.py", "services/audit/quick.py",
      "services/audit/repair.py", "services/audit/final_state.py", "services/audit/samples.py",
      "services/audit/watchman.py", "services/store/faults.py", "services/store/mender.py",
      "services/store/ledger_copy.py", "services/store/stored.py")),
    ("the append, and what a replay of the stored blocks computes", ("tests/integration/store/test_append.py",),
     ("services/chain/accept.py", "services/store/arguments.py", "services/store/blocks.py", "services/store/chain.py",
      "services/store/ledger.py", "services/store/records.py", "services/store/scripts.py")),
    ("branches of any depth, and processes that die between two steps",
     ("tests/network/test_reorganisation.py", "tests/network/test_reorganisation_faults.py"),
     ("services/chain/reorganiser.py", "services/chain/finishing.py", "services/store/branch.py")),
    ("what is kept of branches that were not adopted, and shown", ("tests/network/test_tips.py",),
     ("services/peers/sightings.py", "services/store/tips.py")),
    ("the way that subscribers are told", ("tests/unit/api/door/test_feed.py",), ("services/chain/changes.py",)),
    ("read through the doors that need them", ("tests/integration/http/test_transactions.py",),
     ("services/chain/inclusion.py", "services/store/index.py")),
    ("read through JSON-RPC",
     ("tests/integration/rpc/test_state.py", "tests/integration/rpc/test_logs.py"),
     ("services/chain/snapshots.py", "services/token/logs.py", "services/store/filters.py")),
    ("the documented keys are compared with it", ("tests/unit/repository/test_documentation.py",),
     ("services/store/base.py", "services/store/keys.py", "services/store/mining_keys.py",
      "services/store/operator_keys.py", "services/store/network_keys.py")),
    ("leases, shares and vouchers as miners meet them",
     ("tests/integration/mining/test_leases.py", "tests/integration/mining/test_vouchers.py"),
     ("services/store/leases.py", "services/store/vouchers.py")),
    ("a payout from its shares to the chain", ("tests/integration/mining/test_payouts.py",),
     ("services/payouts/sharing.py", "services/store/payouts.py")),
    ("what the chain shows as paid, after a restore", ("tests/integration/mining/test_payouts_restored.py",
     "tests/integration/mining/test_payouts_pruned.py"), ("services/payouts/payments_made.py",)),
    ("tokens, vouchers and payouts of a backup, read and written",
     ("tests/integration/mining/test_payouts_restored.py",), ("services/store/accounting.py",)),
    ("bad leases and reports, and those that are good", ("tests/integration/http/test_leases.py",),
     ("api/leasing.py",)),
    ("leases at the door, by themselves and for many who wait", ("tests/integration/rpc/test_leases.py",),
     ("api/door/lease_news.py",)),
    ("the door over HTTP", ("tests/integration/rpc/test_door_http.py",),
     ("api/door/answering.py", "api/door/probes.py")),
    ("a miner in one piece, against nodes that answer anything", ("tests/integration/worker/test_miner.py",),
     ("worker/miner/board.py", "worker/miner/door.py", "worker/miner/news.py", "worker/miner/program.py",
      "worker/miner/search.py")),
    ("a miner at the API, at the door, and from one to the other",
     ("tests/integration/worker/test_miner_ways.py",), ("worker/miner/ways.py",)),
    ("the mempool's cases, and a plain model of it",
     ("tests/integration/mempool/test_admission.py", "tests/integration/mempool/test_model.py"),
     ("services/mempool/judgement.py", "services/store/pool.py")),
    ("snapshots are taken and reverted to", ("tests/integration/development/test_going_back.py",),
     ("services/store/snapshots.py",)),
    ("every reader reads the same from packs; killed and damaged packs", ("tests/integration/store/test_packing.py",),
     ("services/chain/packer.py", "services/store/packs.py")),
    ("what is pruned is gone, what is kept is checked", ("tests/integration/store/test_pruning.py",),
     ("services/audit/pruned.py",)),
    ("a replay and its helper process", ("tests/unit/services/audit/test_ahead.py",), ("services/audit/checking.py",)),
    ("a node that prunes, as commands show it", ("tests/integration/http/test_pruned_commands.py",),
     ("api/cli/chain/pruned.py",)),
    ("asked as a program, and of nodes of real processes",
     ("tests/integration/development/test_going_back_live.py", "tests/network/test_up_nodes.py"),
     ("api/cli/node/fork.py",)),
    ("what a fork's blocks hold, and who finds their proofs", ("tests/integration/development/test_forks.py",),
     ("services/development/candidates.py", "services/mining/aside.py")),
    ("rounds as workers meet them", ("tests/integration/mining/test_rounds_claims.py",),
     ("services/mining/requests.py", "services/mining/seal_log.py", "services/store/mining.py",
      "services/mining/searches.py", "services/store/searches.py")),
    ("what is handed in, and what is false in it", ("tests/integration/mining/test_desk.py",),
     ("services/store/inbox.py",)),
    ("saved and loaded by a node", ("tests/integration/development/test_states.py",),
     ("services/store/state.py", "services/development/stale.py")),
    ("snapshots in a state file", ("tests/integration/development/test_snapshots_part.py",),
     ("services/store/snapshot_copy.py",)),
    ("`quarry up` with a state file", ("tests/integration/launch/test_up_state.py",),
     ("services/development/state_disk.py", "services/launch/state.py", "api/cli/node/state_files.py",
      "worker/state_files.py")),
    ("heard by listeners over HTTP", ("tests/integration/http/test_events.py",),
     ("services/store/events.py", "services/store/news.py")),
    ("what peers hear and say", ("tests/network/test_peer_news.py",),
     ("services/peers/announcer.py", "services/peers/claims.py", "services/store/outbox.py",
      "services/store/peers.py")),
    ("peers that drip, hang or never finish", ("tests/network/test_http.py",), ("services/peers/patience.py",)),
    ("peers that stall, lie, or send one long chain",
     ("tests/network/test_http.py", "tests/network/test_slow_peers.py", "tests/network/test_liars.py",
      "tests/network/test_tutorial_node.py"),
     ("services/peers/adopter.py", "services/peers/client.py", "services/peers/header_chain.py",
      "services/peers/stretch.py",
      "services/peers/whole_chain.py")),
    ("agreeing on demand", ("tests/network/test_resolver.py",),
     ("services/peers/consensus.py", "services/store/resolutions.py")),
    ("planted jobs", ("tests/integration/worker/test_security.py", "tests/unit/services/jobs/test_queues.py"),
     ("services/jobs/json_only.py", "services/jobs/screen.py")),
    ("values of single settings", ("tests/unit/services/settings/test_values.py",),
     ("services/settings/hosts.py", "services/settings/paths.py", "services/settings/rows.py")),
    ("the embedded server from its first start to its end", ("tests/integration/launch/test_embedded.py",),
     ("services/launch/last_words.py", "services/launch/ownership.py", "services/launch/server_files.py")),
    ("`quarry up` with real processes, and the plan of it without",
     ("tests/integration/launch/test_up.py", "tests/unit/services/launch/test_node_plan.py"),
     ("services/launch/node_files.py", "services/launch/running.py")),
    ("what ends a program before it starts", ("tests/integration/launch/test_start_refusals.py",),
     ("services/launch/ports.py", "services/launch/failures.py")),
    ("SIGTERM while a store is away", ("tests/integration/launch/test_stopping.py",), ("services/launch/ending.py",)),
    ("the processes of a supervisor", ("tests/integration/launch/test_supervisor.py",),
     ("services/system/processes.py",)),
    ("environments of started programs", ("tests/unit/services/launch/test_node_plan.py",),
     ("services/system/programs.py",)),
    ("files of wallets in any encoding", ("tests/unit/services/wallet/test_wallet_files.py",),
     ("services/system/text_files.py",)),
    ("what a worker finds at a broker", ("tests/unit/services/test_registry.py", "tests/unit/services/test_clocks.py"),
     ("services/store/broker.py",)),
    ("one constant, shown by `/status` and the OpenAPI document", ("tests/integration/http/test_documentation.py",),
     ("services/system/about.py",)),
    ("read and written as PEM", ("tests/unit/services/wallet/test_pem.py",),
     ("services/wallet/ed25519_pem.py", "services/wallet/private_keys.py")),
    ("phrases and keystores are two ways to bring the same key", ("tests/unit/services/wallet/test_keystores.py",),
     ("services/wallet/phrases.py",)),
    ("keys that sign", ("tests/unit/services/wallet/test_keyring.py",),
     ("services/wallet/signers.py",)),
    # worker
    ("both kernels, against hashlib", ("tests/unit/worker/kernel/test_scan.py",),
     ("worker/kernel/plain.py", "worker/kernel/sha256.py")),
    ("the loop of the job, in threads", ("tests/integration/mining/test_rounds_searching.py",),
     ("worker/context.py", "worker/jobs/search.py")),
    ("worker processes: stopped, killed, frozen, given foreign jobs",
     ("tests/integration/worker/test_life.py", "tests/integration/worker/test_strangers.py"),
     ("worker/__main__.py", "worker/process.py", "worker/programs.py", "worker/rq_logs.py", "worker/jobs/network.py",
      "worker/jobs/upkeep.py")),
    # quarrynode
    ("raised where a node is started and asked", ("tests/unit/quarrynode/test_process.py",), ("quarrynode/errors.py",)),
    # api
    ("made by every test of HTTP", ("tests/integration/http/test_access.py",), ("api/app.py", "api/headers.py")),
    ("blocks and transactions as the endpoints show them",
     ("tests/integration/http/test_chain.py", "tests/integration/http/test_transactions.py"),
     ("api/representations.py", "api/rest/accounts.py", "api/rest/blocks.py", "api/rest/mempool.py")),
    ("the faucet of both doors", ("tests/integration/rpc/test_faucet.py",), ("api/rest/faucet.py",)),
    ("liveness, readiness and status when the store fails", ("tests/integration/http/test_store_faults.py",),
     ("api/rest/health.py",)),
    ("slow, lying and many clients", ("tests/integration/http/test_gate.py", "tests/integration/http/test_server.py"),
     ("api/serving/heap.py", "api/serving/held_metrics.py", "api/serving/runner.py")),
    ("scraped and compared with what was asked", ("tests/integration/http/test_metrics.py",),
     ("api/serving/request_metrics.py",)),
    ("the protocol, its errors and its formats", ("tests/integration/rpc/test_protocol.py",),
     ("api/rpc/chain.py", "api/rpc/dispatch.py", "api/rpc/errors.py", "api/rpc/method_table.py",
      "api/rpc/quantity.py")),
    ("blocks and state as wallets see them",
     ("tests/integration/rpc/test_state.py", "tests/integration/rpc/test_transactions.py"),
     ("api/rpc/representations.py", "api/rpc/tags.py")),
    ("the door as clients of HTTP find it", ("tests/integration/rpc/test_door_http.py",),
     ("api/door/http.py", "api/door/job.py", "api/door/limits.py", "api/door/requests.py",
      "api/door/watch.py")),
    ("the door over WebSockets", ("tests/integration/rpc/test_door_websocket.py",), ("api/door/websocket.py",)),
    ("what subscribers are told, and who is cut off", ("tests/integration/rpc/test_door_subscriptions.py",),
     ("api/door/subscriptions.py",)),
    ("over HTTP there are none", ("tests/integration/rpc/test_door_subscriptions.py",), ("api/rpc/subscribing.py",)),
    ("the door as a program", ("tests/integration/rpc/test_door_process.py",),
     ("api/door/server.py", "api/serving/startup.py")),
    ("who is answered, and with what", ("tests/integration/http/test_access.py",),
     ("api/serving/hosts.py", "api/serving/header_fields.py", "api/serving/intent.py")),
    ("names over a store and on pages",
     ("tests/unit/services/operators/test_names.py", "tests/integration/http/test_names.py"),
     ("services/store/names.py", "api/explorer/names.py")),
    ("the pages as a reader gets them", ("tests/integration/explorer/test_views.py",),
     ("api/explorer/links.py", "api/explorer/places.py", "api/explorer/rendering.py",
      "api/explorer/text.py", "api/explorer/pages/addresses.py",
      "api/explorer/pages/blocks.py", "api/explorer/pages/mining.py", "api/explorer/pages/network.py",
      "api/explorer/pages/miners.py", "api/explorer/pages/overview.py", "api/explorer/pages/pool.py",
      "api/explorer/pages/supply.py",
      "api/explorer/pages/transactions.py")),
    ("the parts of the document", ("tests/integration/http/test_documentation.py",),
     ("api/rest/examples.py", "api/rest/groups.py")),
    ("the course as a reader gets it", ("tests/integration/explorer/test_course.py",),
     ("api/explorer/glossary.py", "api/explorer/pages/course.py", "api/explorer/pages/quiz.py")),
    ("backups and what they are restored to, in one story",
     ("tests/unit/api/cli/node/test_backup.py", "tests/integration/launch/test_backup.py"),
     ("api/cli/node/backup_source.py", "api/cli/node/restore.py")),
    ("the commands without a node, or with one that answers as told", ("tests/unit/api/cli/test_cli.py",),
     ("api/cli/group.py", "api/cli/node/processes.py")),
    ("when mining waits, in words", ("tests/unit/api/cli/node/test_mine.py",), ("api/cli/moments.py",)),
    ("verify, export and import with a node that answers as told", ("tests/unit/api/cli/chain/test_chain.py",),
     ("api/cli/chain/chain_file.py", "api/cli/chain/verification.py")),
    ("wallets, signing and sending with a node that answers as told", ("tests/unit/api/cli/wallet/test_send.py",),
     ("api/cli/wallet/transfers.py", "api/cli/wallet/tx.py", "api/cli/wallet/wallet.py",
      "api/cli/wallet/wallet_store.py")),
    ("a file's digest is put on the chain and verified", ("tests/unit/api/cli/chain/test_anchor.py",),
     ("api/cli/chain/verify_anchor.py",)),
    ("the commands against a real node", ("tests/integration/launch/test_up.py",),
     ("api/cli/__main__.py", "api/cli/node/demo.py", "api/cli/node/doctor.py", "api/cli/node/foreground.py",
      "api/cli/node/interruption.py", "api/cli/node/machine.py", "api/cli/wallet/faucet.py")),
    ("repairing and comparing a store", ("tests/integration/audit/test_ledger_differs.py",),
     ("api/cli/chain/comparison.py", "api/cli/chain/stores.py")),
    ("with the files that it removes", ("tests/unit/services/launch/test_reset.py",), ("api/cli/node/reset.py",)),
    ("blocks and transactions as people name them", ("tests/unit/api/cli/chain/test_show.py",),
     ("api/cli/lookup.py",)),
    ("names of wallets in a shell and beside addresses", ("tests/unit/api/cli/wallet/test_balance.py",),
     ("api/cli/wallet/names.py", "api/cli/wallet/wallet_arguments.py")),
    ("what reaches a terminal", ("tests/unit/api/cli/test_terminal.py",),
     ("api/cli/progress.py",)),
    ("passphrases that are typed or piped", ("tests/unit/services/wallet/test_passphrases.py",),
     ("api/cli/wallet/secret_input.py",)),
]  # fmt: skip


@cache
def listed() -> tuple[str, ...]:
    """The files of the repository."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(name for name in names.splitlines() if (ROOT / name).is_file())


@cache
def files() -> tuple[str, ...]:
    return tuple(name for name in listed() if name.endswith(".py"))


@cache
def modules() -> tuple[str, ...]:
    """The files of the product that have code; most `__init__.py` have none."""

    def has_code(name: str) -> bool:
        body = ast.parse((ROOT / name).read_text()).body
        return any(isinstance(item, ast.FunctionDef | ast.ClassDef) for item in body)

    ours = [name for name in files() if name.startswith(PRODUCT)]
    return tuple(name for name in ours if not name.endswith("__init__.py") or has_code(name))


def by_path(module: str) -> list[str]:
    """The test files that are named for a module: `test_NAME.py` or `test_NAME_….py` in a folder of its package.

    A package's own `__init__.py` has the name of the package.
    """
    path = PurePath(module)
    package = path.parent.as_posix()
    name = path.parent.name if path.stem == "__init__" else path.stem
    folders = (f"tests/unit/{package}", *FOLDERS.get(package, ()))
    return [file for file in files() if file.startswith(folders) and _is_named(PurePath(file), folders, name)]


def _is_named(file: PurePath, folders: Sequence[str], name: str) -> bool:
    return file.parent.as_posix() in folders and f"{file.stem}_".startswith(f"test_{name}_")


def elsewhere() -> dict[str, tuple[str, ...]]:
    return {module: tests for _, tests, listed in ELSEWHERE for module in listed}


def test_the_tests_of_every_module_are_found() -> None:
    known = elsewhere()
    assert len(known) == sum(len(listed) for _, _, listed in ELSEWHERE), "a module is listed twice"
    lost = [module for module in modules() if module not in known and not by_path(module)]
    assert lost == [], "name a test file for each (tests/README.md), or list in ELSEWHERE where it is tested"


def test_every_entry_of_the_list_is_needed_and_leads_to_tests() -> None:
    known = elsewhere()
    assert known.keys() - set(modules()) == set(), "these modules are gone"
    assert [module for module in known if by_path(module)] == [], "these are found by their paths"
    assert {test for tests in known.values() for test in tests} - set(files()) == set(), "these tests are gone"
    assert set(FOLDERS) <= {PurePath(module).parent.as_posix() for module in modules()}


def test_the_mirror_has_no_folder_of_its_own() -> None:
    """Below tests/unit there are the packages of the product, and `repository` for tests of the repository itself."""
    folders = {
        PurePath(file).parent.as_posix().removeprefix("tests/unit/") for file in files() if "tests/unit/" in file
    }
    packages = {PurePath(file).parent.as_posix() for file in files() if file.startswith(PRODUCT)}
    assert folders - packages - {"tests/unit", "repository"} == set()


@cache
def words_of(package: Path) -> frozenset[str]:
    """The words of a package's docstring."""
    return frozenset(re.findall(r"\w+", ast.get_docstring(ast.parse(package.read_text())) or ""))


def test_a_package_says_what_each_of_its_modules_does() -> None:
    """CONTRIBUTING.md promises it. `__main__` is what `python -m` runs, in every package that has one."""
    unnamed = []
    for name in files():
        path = PurePath(name)
        if not name.startswith(PRODUCT) or path.stem == "__main__":
            continue
        if path.stem == "__init__":
            path = path.parent  # a package is named by the one that it is in
        package = ROOT / path.parent / "__init__.py"
        if package.is_file() and path.stem not in words_of(package):
            unnamed.append(name)
    assert unnamed == [], "their packages do not say what they are for"


# --- Imports between tests --------------------------------------------------------------------------------------------


def imported(source: str) -> Iterator[str]:
    """Dotted names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if not (ROOT / f"{node.module.replace('.', '/')}.py").is_file():  # a package: its modules have names too
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports() -> tuple[tuple[str, str], ...]:
    """(file, module) for every import of something in tests/."""
    texts = {file: (ROOT / file).read_text() for file in files()}
    return tuple(
        (file, name)
        for file, text in texts.items()
        if "tests" in text
        for name in imported(text)
        if name.split(".")[0] == "tests"
    )


def of_test_modules(names: Iterable[str]) -> list[str]:
    """Those names that lead into a test module."""
    return [
        name
        for name in names
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]


def test_nothing_imports_from_a_test_module() -> None:
    """What two test modules share belongs in tests/support, or in a helper beside them."""
    assert [(file, name) for file, name in imports() if of_test_modules([name])] == []


def test_no_folder_of_tests_imports_another() -> None:
    """What two folders share is in `support`; `vectors` is data."""
    shared = ("tests.support", "tests.vectors")
    found = []
    for file, name in imports():
        own = f"tests.{file.split('/')[1]}"
        if name != "tests" and not any(name == room or name.startswith(f"{room}.") for room in (own, *shared)):
            found.append((file, name))
    assert found == []


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("from tests.unit.test_x import y", True),
        ("from tests.unit import test_x", True),
        ("import tests.integration.http.test_x", True),
        ("def f():\n    from tests.network.test_x import y as z", True),
        ("from tests.support.nodes import TestNode", False),
        ("from tests.support.relay import test_certificate", False),
        ("from services.node import test_x", False),
    ],
)
def test_an_import_is_seen_in_every_spelling(text: str, caught: bool) -> None:
    assert bool(of_test_modules(imported(text))) is caught


# --- Length -----------------------------------------------------------------------------------------------------------

LONGEST = 350


def test_no_file_of_the_product_is_too_long_to_read_at_once() -> None:
    names = [name for name in listed() if name.startswith(PRODUCT) and name.endswith((".py", ".lua"))]
    assert len(names) > 250
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in names}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
