"""The manifests under deploy/kubernetes: valid by the schemas, and true of the programs that they start."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from api.cli.group import COMMANDS, MORE
from deploy.make_cluster import _PASSWORD
from services.settings.table import CLIENT_VARIABLES, VARIABLES, load
from services.system.programs import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
Object = dict[str, Any]


def documents() -> Iterator[tuple[str, Object]]:
    for path in sorted(FOLDER.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            yield path.relative_to(FOLDER).as_posix(), document


ALL = list(documents())
WORKLOADS = [item for _, item in ALL if item["kind"] in ("StatefulSet", "Deployment")]


def pods() -> Iterator[tuple[str, Object]]:
    for item in WORKLOADS:
        yield item["metadata"]["name"], item["spec"]["template"]


def containers() -> Iterator[tuple[str, Object]]:
    for name, pod in pods():
        for container in [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]:
            yield f"{name}/{container['name']}", container


CONTAINERS = dict(containers())


def test_they_are_valid_by_the_schemas_of_kubernetes() -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="pip install '.[kubernetes]' installs it; .ci/run does"
    )
    version = kubernetes_validate.latest_version()
    core = [item for _, item in ALL if item["kind"] not in ("Kustomization", "ScaledObject")]
    assert len(core) >= 15
    for item in core:
        kubernetes_validate.validate(item, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**core[0], "sepc": {}}, version, strict=True)


def strict(schema: Any) -> Any:
    """A schema that also refuses names that it does not know, unless it says that they are kept."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def test_the_scaled_object_is_valid_by_the_schema_of_keda() -> None:
    schema = strict(json.loads((ROOT / "tests/integration/deploy/keda_scaledobject.json").read_text())["schema"])
    [scaled] = [item for _, item in ALL if item["kind"] == "ScaledObject"]
    schema["properties"]["metadata"].pop("additionalProperties", None)
    jsonschema_rs.validate(schema, scaled)
    assert not jsonschema_rs.is_valid(schema, {**scaled, "spec": {**scaled["spec"], "minReplicas": 0}})
    assert not jsonschema_rs.is_valid(schema, {**scaled, "spec": {}})


def test_miners_are_scaled_by_the_gauge_that_the_node_has() -> None:
    [scaled] = [item for _, item in ALL if item["kind"] == "ScaledObject"]
    assert scaled["spec"]["scaleTargetRef"]["name"] in [item["metadata"]["name"] for item in WORKLOADS]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["metadata"]["query"].startswith("max(quarry_workers_wanted{")
    assert '"quarry_workers_wanted"' in (ROOT / "api/rest/metrics.py").read_text("utf-8")
    assert (trigger["metadata"]["threshold"], trigger["metricType"]) == ("1", "AverageValue"), (
        "a pod for each one wanted"
    )


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_has_no_rights_that_it_does_not_need(name: str) -> None:
    item = CONTAINERS[name]
    assert item["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert item["resources"]["limits"]["memory"] and item["resources"]["requests"]["memory"]
    [pod] = [pod for owner, pod in pods() if owner == name.partition("/")[0]]
    context = pod["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsNonRoot"]) == (10001, True), "the user of the image"
    assert pod["spec"]["automountServiceAccountToken"] is False
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | {"data"}
    assert {mount["name"] for mount in item["volumeMounts"]} <= volumes


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_runs_a_program_that_there_is_with_settings_that_there_are(name: str) -> None:
    item = CONTAINERS[name]
    program, *arguments = item.get("command") or item["args"]
    assert program in ("quarry", "valkey-server", "make-cluster")
    if program == "quarry":
        assert arguments[0] in {**COMMANDS, **MORE}
        given = {entry["name"]: entry["value"] for entry in item["env"] if "value" in entry}
        [generated] = [item for where, item in ALL if where == "base/kustomization.yaml"]
        if "envFrom" in item:
            given |= dict(line.split("=", 1) for line in generated["configMapGenerator"][0]["literals"])
        unknown = {key for key in given if key.startswith("QUARRY_")} - set(VARIABLES) - set(CLIENT_VARIABLES)
        assert unknown == set()
        load({key: value for key, value in given.items() if key in VARIABLES})


def test_miners_log_in_as_miners_and_have_no_other_password() -> None:
    """Stores are told the passwords that the pods log in with: each pod makes its own files of a cluster."""
    given = {
        name: {entry["valueFrom"]["secretKeyRef"]["key"] for entry in item["env"]}
        for name, item in CONTAINERS.items()
        if name.endswith("/cluster")
    }
    both = {"VALKEY_PASSWORD", "VALKEY_MINER_PASSWORD"}
    assert given["chain/cluster"] == given["broker/cluster"] == both
    assert given["node/cluster"] == given["network/cluster"] == {"VALKEY_PASSWORD"}
    assert given["miner/cluster"] == {"VALKEY_MINER_PASSWORD"}
    for name, user, file in (("network", "quarry", "password"), ("miner", "miner", "miner-password")):
        environment = {entry["name"]: entry["value"] for entry in CONTAINERS[f"{name}/worker"]["env"]}
        assert environment["QUARRY_BROKER_URL"] == f"redis://{user}@broker:6379/0"
        assert environment["VALKEY_PASSWORD_FILE"] == f"/cluster/{file}"


def test_probes_are_those_of_the_image() -> None:
    checks = {
        tuple(probe["exec"]["command"])[:3]
        for item in CONTAINERS.values()
        for kind, probe in item.items()
        if kind.endswith("Probe")
    }
    kinds = {command[command.index("health") + 1] for command in checks}
    assert kinds == {"api", "valkey", "worker", "ticker"}, "deploy/health.py knows these"


def test_a_policy_is_about_pods_that_there_are() -> None:
    labels = [pod["metadata"]["labels"] for _, pod in pods()]
    policies = [item for _, item in ALL if item["kind"] == "NetworkPolicy"]
    everything = [item for item in policies if item["spec"]["podSelector"] == {}]
    assert any(item["spec"]["policyTypes"] == ["Ingress", "Egress"] and len(item["spec"]) == 2 for item in everything)
    for policy in policies:
        for key, value in policy["spec"]["podSelector"].get("matchLabels", {}).items():
            assert any(each.get(key) == value for each in labels), (policy["metadata"]["name"], key, value)
    [stores] = [item for item in policies if item["metadata"]["name"] == "stores"]
    [allowed] = stores["spec"]["ingress"][0]["from"]
    assert allowed["podSelector"]["matchExpressions"][0]["values"] == ["node", "worker"]


def test_the_password_is_not_in_the_repository(tmp_path: Path) -> None:
    lines = (FOLDER / "base" / "valkey.env.example").read_text("utf-8").splitlines()[-2:]
    assert lines == ["VALKEY_PASSWORD=", "VALKEY_MINER_PASSWORD="] and _PASSWORD.fullmatch("0" * 48)
    assert "valkey.env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


KUBECTL = shutil.which("kubectl")


@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on this machine")
def test_kustomize_builds_them(tmp_path: Path) -> None:
    assert KUBECTL is not None
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    (tmp_path / "kubernetes/base/valkey.env").write_text(
        f"VALKEY_PASSWORD={'0' * 48}\nVALKEY_MINER_PASSWORD={'1' * 48}\n"
    )
    command = [KUBECTL, "kustomize", str(tmp_path / "kubernetes/keda")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    kinds = [item["kind"] for item in yaml.safe_load_all(ended.stdout)]
    assert kinds.count("NetworkPolicy") == 6 and {"ConfigMap", "Secret", "ScaledObject", "Namespace"} <= set(kinds)
    assert "image: quarry\n" not in ended.stdout
