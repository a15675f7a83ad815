"""What can be known of the files in `cluster/` without a cluster: that Ray takes them, that what they name is there."""

import json
import re
import shutil
import subprocess
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "cluster"
FILES = ("gpu.yaml", "gcp.yaml", "local.yaml")
COMMANDS = (
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
SHELL_FILES = ("slurm.sbatch", "env.sh")


def read(name: str) -> dict[str, Any]:
    """A cluster file as it stands."""
    config: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text())
    return config


def check(config: dict[str, Any]) -> None:
    """What Ray checks before it does anything, and what it does not: that the files which are named exist."""
    validate_config(prepare_config(deepcopy(config)))
    mounts = config["file_mounts"]
    for local in mounts.values():
        assert local.startswith("~/.ray/") or (REPOSITORY / local).exists(), f"no {local} to take along"
    for used in re.findall(r"~/mage/(?!\.venv)[\w./]+", "\n".join(commands(config))):
        remote = next((remote for remote in mounts if used == remote or used.startswith(f"{remote}/")), None)
        assert remote, f"nothing brings {used}"
        assert (REPOSITORY / (mounts[remote] + used.removeprefix(remote))).exists(), f"no {used}"


def commands(config: dict[str, Any]) -> list[str]:
    """All that a cluster file has run on a node."""
    return [command for kind in COMMANDS for command in config[kind]]


@pytest.mark.parametrize("name", FILES)
def test_ray_takes_a_cluster_file_and_all_that_it_names_is_here(name: str) -> None:
    check(read(name))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "typo",
    [
        lambda config: config.update(file_mount=config.pop("file_mounts")),
        lambda config: config["auth"].update(ssh_usr="me"),
        lambda config: config.update(idle_timeout_minutes="15 minutes"),
        lambda config: config["file_mounts"].update({"~/mage/tune": "tunes"}),
        lambda config: config["file_mounts"].pop("~/mage/cluster/workers.py"),
        lambda config: config["head_start_ray_commands"].append("python ~/mage/cluster/worker.py wait"),
        lambda config: config["setup_commands"].append({"make": "it"}),
    ],
)
def test_a_typo_in_a_cluster_file_is_found(name: str, typo: Any) -> None:
    config = read(name)
    typo(config)
    with pytest.raises((jsonschema.ValidationError, AssertionError, KeyError)):
        check(config)


@pytest.mark.parametrize("name", FILES)
def test_a_node_gets_all_that_its_installation_needs_and_no_more_of_the_checkout(name: str, tmp_path: Path) -> None:
    mounts = {remote: local for remote, local in read(name)["file_mounts"].items() if remote.startswith("~/mage/")}
    for remote, local in mounts.items():
        target = tmp_path / remote.removeprefix("~/mage/")
        target.parent.mkdir(parents=True, exist_ok=True)
        (target.symlink_to if (REPOSITORY / local).is_dir() else target.hardlink_to)(REPOSITORY / local)
    told = subprocess.run(["make", "-n", "cluster"], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0 and "requirements/cluster.txt" in told.stdout, told.stderr
    project = (REPOSITORY / "pyproject.toml").read_text()
    for needed in re.findall(r'(?:readme = |license-files = \[)"([^"]+)"', project):
        assert (tmp_path / needed).exists()
    assert not {"tests", "runs", "benchmarks", ".venv", ".git", "docs"} & {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", FILES)
def test_ray_is_started_closed(name: str) -> None:
    config = read(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("source ~/mage/cluster/env.sh" in command for command in config["setup_commands"])
    assert "export RAY_AUTH_MODE=token" in (CLUSTER / "env.sh").read_text()
    (head,) = (command for command in config["head_start_ray_commands"] if "--head" in command)
    assert "--dashboard-host=127.0.0.1" in head
    assert "0.0.0.0" not in "\n".join(commands(config))


@pytest.mark.parametrize("name", [*FILES, *SHELL_FILES])
def test_no_secret_stands_in_a_file(name: str) -> None:
    text = (CLUSTER / name).read_text()
    assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY|\b[0-9a-f]{32,}\b", text)
    assert not re.search(r"(?i)(secret|password|access_key)\w*\s*[:=]\s*\S", text)


def test_spot_workers_serve_a_head_on_demand() -> None:
    types = {name: read(name)["available_node_types"] for name in ("gpu.yaml", "gcp.yaml")}
    aws, gcp = (({kind: node["node_config"] for kind, node in types[name].items()}) for name in types)
    assert aws["gpu-worker"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in aws["head"]
    assert gcp["gpu-worker"]["scheduling"]["provisioningModel"] == "SPOT"
    assert "scheduling" not in gcp["head"]
    for nodes in types.values():
        assert nodes["head"]["resources"] == {"CPU": 0}  # no trial ends up on it
        assert 0 < nodes["gpu-worker"]["min_workers"] < nodes["gpu-worker"]["max_workers"]


def test_ec2_knows_every_field_of_a_node() -> None:
    session = pytest.importorskip("botocore.session", reason="botocore is not installed: make cluster CLOUD=aws")
    validate = pytest.importorskip("botocore.validate")
    request = session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for node in read("gpu.yaml")["available_node_types"].values():
        config = node["node_config"] | {"MinCount": 1, "MaxCount": 1}
        config["SubnetId"] = config.pop("SubnetIds")[0]  # Ray picks one
        report = validate.ParamValidator().validate(config, request)
        assert not report.has_errors(), report.generate_report()
        assert validate.ParamValidator().validate(config | {"InstanceTyp": "g6.2xlarge"}, request).has_errors()


def test_compute_engine_knows_every_field_of_a_node() -> None:
    cache = pytest.importorskip("googleapiclient.discovery_cache", reason="make cluster CLOUD=gcp installs it")
    schemas = json.loads(cache.get_static_doc("compute", "v1"))["schemas"]

    def unknown(value: Any, schema: dict[str, Any], place: str) -> list[str]:
        schema = schemas[schema["$ref"]] if "$ref" in schema else schema
        if isinstance(value, list):
            return [field for item in value for field in unknown(item, schema["items"], place)]
        if not isinstance(value, dict):
            return [f"{place}={value}"] if "enum" in schema and value not in schema["enum"] else []
        if extra := [f"{place}.{key}" for key in value if key not in schema["properties"]]:
            return extra
        return [f for key, own in value.items() for f in unknown(own, schema["properties"][key], f"{place}.{key}")]

    for kind, node in read("gcp.yaml")["available_node_types"].items():
        assert not unknown(node["node_config"], {"$ref": "Instance"}, kind)
        assert unknown(node["node_config"] | {"scheduling": {"provisioningModel": "SPT"}}, {"$ref": "Instance"}, kind)


@pytest.mark.parametrize("name", SHELL_FILES)
def test_bash_and_shellcheck_find_nothing_in_a_shell_file(name: str) -> None:
    subprocess.run(["bash", "-n", str(CLUSTER / name)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(CLUSTER / name)], check=True)


@pytest.mark.parametrize("name", FILES)
def test_bash_finds_nothing_in_the_commands_of_a_cluster_file(name: str, tmp_path: Path) -> None:
    for command in commands(read(name)):
        subprocess.run(["bash", "-n", "-c", command], check=True)
        if shutil.which("shellcheck"):
            (tmp_path / "command").write_text(command)
            subprocess.run(["shellcheck", "--shell=bash", str(tmp_path / "command")], check=True)


@pytest.mark.parametrize("name", ["clusters.md", "security.md"])
def test_a_document_names_files_that_exist(name: str) -> None:
    named = re.findall(r"\b(?:cluster|tests|tune|docs)/[\w/]+\.\w+", (REPOSITORY / "docs" / name).read_text())
    assert named and all((REPOSITORY / path).exists() for path in named), named


def test_the_locks_for_clusters_fit_the_lock_of_the_environment() -> None:
    lock, extra = (
        {
            line.split("==")[0].lower().replace("_", "-"): line.split("==")[1]
            for name in names
            for line in (REPOSITORY / "requirements" / name).read_text().splitlines()
            if line and not line.startswith("#")
        }
        for names in (["lock.txt"], ["cluster.txt", "aws.txt", "gcp.txt"])
    )
    assert {name for name in extra if name in lock and extra[name] != lock[name]} == {"python-dateutil"}


def test_a_job_takes_the_code_along_and_neither_runs_nor_secrets_nor_the_environment(tmp_path: Path) -> None:
    folder, package = tmp_path / "checkout", tmp_path / "package.zip"
    folder.mkdir()
    for name in (".rayignore", "mage", "tune"):
        (folder / name).symlink_to(REPOSITORY / name)
    for left in (".venv/bin/python", ".git/config", "runs/first/policy.json", "tests/conftest.py", ".env", "head.pem"):
        (folder / left).parent.mkdir(parents=True, exist_ok=True)
        (folder / left).write_text("left")
    create_package(str(folder), package, include_gitignore=False)
    files = set(zipfile.ZipFile(package).namelist())
    assert {"tune/sweep_adroit.py", "mage/api.py", "mage/scenarios.yaml", "mage/algorithms/mage/presets.yaml"} <= files
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "mage").rglob("*.py")}
    assert modules <= files
    assert {name.split("/")[0] for name in files} - {""} == {".rayignore", "mage", "tune"}
    assert not [name for name in files if "__pycache__" in name]
