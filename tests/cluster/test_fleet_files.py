"""The files for Kubernetes and SkyPilot, against the schemas of those who read them; their scripts in a real shell."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import ray
import yaml

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "cluster"
FILES = ("kuberay.yaml", "kuberay_shared.yaml", "skypilot.yaml")
Config = dict[str, Any]


def read(name: str) -> list[Config]:
    """The documents of a file."""
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def validate(value: Any, file: str, name: str) -> None:
    """Checks a value against one of the schemas that `cut_schemas.py` made, or of `kuberay.json`."""
    schema = json.loads((REPOSITORY / "tests" / "cluster" / "schemas" / f"{file}.json").read_text())[name]
    jsonschema.validate(value, schema)


def groups(job: Config) -> list[Config]:
    """The head and the workers of a RayJob."""
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def check_job(job: Config) -> None:
    """A RayJob: KubeRay's fields, the pods', and what KubeRay asks beyond its fields."""
    validate(job, "kuberay", "RayJob")
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    validate(cluster["autoscalerOptions"]["resources"], "kubernetes", "ResourceRequirements")
    for group in groups(job):
        validate(group["template"], "kubernetes", "PodTemplateSpec")
        pod = group["template"]["spec"]
        assert pod["restartPolicy"] == "Never", "SidecarMode and autoscaler v2 take no other"
        assert {volume["name"] for volume in pod["volumes"]} == {
            mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]
        }
    for group in cluster["workerGroupSpecs"]:
        assert 0 < group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert spec["submissionMode"] == "SidecarMode"
    assert cluster["rayVersion"] == ray.__version__
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0), "tokens came with it"


def check_task(task: Config) -> None:
    """A task of SkyPilot, which checks its parts apart, too."""
    validate(task, "skypilot", "task")
    validate(task["resources"], "skypilot", "resources")
    for storage in task["file_mounts"].values():
        validate(storage, "skypilot", "storage")


def check(name: str, documents: list[Config]) -> None:
    """All of a file."""
    if name == "kuberay.yaml":
        check_job(*documents)
    elif name == "skypilot.yaml":
        check_task(*documents)
    else:
        for document in documents:
            validate(document, "kubernetes", document["kind"])


def scripts(name: str) -> dict[str, str]:
    """What a file has a shell do."""
    (config,) = read(name)
    if name == "skypilot.yaml":
        return {kind: config[kind] for kind in ("setup", "run")}
    shell, options, script = shlex.split(config["spec"]["entrypoint"])
    assert (shell, options) == ("bash", "-c")
    return {"entrypoint": script}


@pytest.mark.parametrize("name", FILES)
def test_those_who_read_a_file_know_all_its_fields(name: str) -> None:
    check(name, read(name))


def _head(job: Config) -> Config:
    head: Config = groups(job)[0]
    return head


def _container(job: Config) -> Config:
    container: Config = _head(job)["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize(
    ("name", "typo"),
    [
        ("kuberay.yaml", lambda job: job["spec"].update(submissionMode="Sidecar")),
        ("kuberay.yaml", lambda job: job["spec"].update(backofLimit=3)),
        ("kuberay.yaml", lambda job: job["spec"].update(ttlSecondsAfterFinished="10 minutes")),
        ("kuberay.yaml", lambda job: job["spec"]["rayClusterSpec"].update(authOptions={"mode": "tokens"})),
        ("kuberay.yaml", lambda job: job["spec"]["rayClusterSpec"].update(rayVersion="2.51.0")),
        ("kuberay.yaml", lambda job: groups(job)[1].update(maxReplicas=1)),
        ("kuberay.yaml", lambda job: _head(job)["rayStartParams"].update({"num-cpus": 0})),
        ("kuberay.yaml", lambda job: _head(job)["template"]["spec"].update(restartPolicy="Always")),
        ("kuberay.yaml", lambda job: _container(job).update(volumeMount=[])),
        ("kuberay.yaml", lambda job: _container(job)["resources"].update(limit={"cpu": "4"})),
        ("kuberay.yaml", lambda job: _container(job)["env"][1].update(value=0)),
        ("kuberay_shared.yaml", lambda claim: claim["spec"].update(accessModes="ReadWriteMany")),
        ("kuberay_shared.yaml", lambda claim: claim["spec"].update(storageClass="nfs")),
        ("skypilot.yaml", lambda task: task.update(nodes=2)),
        ("skypilot.yaml", lambda task: task["resources"].update(spot=True)),
        ("skypilot.yaml", lambda task: task["resources"].update(job_recovery={"max_restarts": 3})),
        ("skypilot.yaml", lambda task: task["file_mounts"]["/results"].update(mode="CACHED")),
        ("skypilot.yaml", lambda task: task["envs"].update(RAY_USAGE_STATS_ENABLED=0)),
    ],
)
def test_a_typo_is_found(name: str, typo: Callable[[Config], None]) -> None:
    documents = deepcopy(read(name))
    typo(documents[0])
    with pytest.raises((jsonschema.ValidationError, AssertionError)):
        check(name, documents)


def test_requests_equal_limits() -> None:
    (job,) = read("kuberay.yaml")
    pods = [*(group["template"] for group in groups(job)), read("kuberay_shared.yaml")[1]]
    found = [container["resources"] for pod in pods for container in pod["spec"]["containers"]]
    found.append(job["spec"]["rayClusterSpec"]["autoscalerOptions"]["resources"])
    assert len(found) == 4 and all(resources["requests"] == resources["limits"] for resources in found)


def test_the_head_takes_no_trials_and_the_workers_have_a_gpu_each() -> None:
    head, worker = groups(read("kuberay.yaml")[0])
    assert head["rayStartParams"] == {"num-cpus": "0"}
    assert "nvidia.com/gpu" not in head["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert worker["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_environment_is_that_of_the_other_clusters() -> None:
    exports = dict(re.findall(r'^export (\w+)="?([^"\s]+)', (CLUSTER / "env.sh").read_text(), re.MULTILINE))
    assert exports.pop("PATH")
    assert read("skypilot.yaml")[0]["envs"] == exports
    (job,) = read("kuberay.yaml")
    assert exports.pop("RAY_AUTH_MODE") == job["spec"]["rayClusterSpec"]["authOptions"]["mode"] == "token"
    for group in groups(job):
        (container,) = group["template"]["spec"]["containers"]
        assert {variable["name"]: variable["value"] for variable in container["env"]} == exports


@pytest.mark.parametrize("name", FILES)
def test_no_token_stands_in_a_file(name: str) -> None:
    assert not re.search(r"AKIA[0-9A-Z]{16}|\b[0-9a-f]{32,}\b", (CLUSTER / name).read_text())
    assert read("skypilot.yaml")[0]["secrets"] == {"RAY_AUTH_TOKEN": None}


@pytest.mark.parametrize("name", FILES)
def test_the_documentation_names_each_value_to_edit(name: str) -> None:
    text = (REPOSITORY / "docs" / "clusters.md").read_text()
    values = set(re.findall(r"\b\w+-EDIT\b", (CLUSTER / name).read_text()))
    assert values and not [value for value in values if f"`{value}`" not in text], values


@pytest.mark.parametrize("name", ["kuberay.yaml", "skypilot.yaml"])
def test_bash_and_shellcheck_find_nothing_in_the_scripts_and_what_they_name_is_here(name: str, tmp_path: Path) -> None:
    for kind, script in scripts(name).items():
        subprocess.run(["bash", "-n", "-c", script], check=True)
        if shutil.which("shellcheck"):
            (tmp_path / kind).write_text(script)
            subprocess.run(["shellcheck", "--shell=bash", str(tmp_path / kind)], check=True)
        for path in re.findall(r"\b(?:tune|cluster)/\w+\.py", script):
            assert (REPOSITORY / path).exists()


@pytest.mark.parametrize("name", ["kuberay.yaml", "skypilot.yaml"])
def test_a_sweep_is_begun_and_a_later_try_goes_on_with_it(name: str, tmp_path: Path) -> None:
    """The last part of the script, which starts the sweep, with `/shared` elsewhere and a `python` that prints."""
    script = scripts(name).popitem()[1].replace("/shared", str(tmp_path)).replace("cd /mage;", "")
    script = script[script.index("name=adroit") :] if name == "skypilot.yaml" else script
    said = 'python() { printf "%s\\n" "$*"; }; mage() { :; };'

    def run() -> str:
        done = subprocess.run(
            ["bash", "-euc", said + script], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    out = tmp_path / "runs" / "adroit"
    sweep = f"tune/sweep_adroit.py --preset paper --out {out}"
    assert run() == sweep
    out.mkdir(parents=True)
    (out / "sweep.json").touch()
    assert run() == f"{sweep} --resume"


def test_the_sweep_on_kubernetes_waits_for_the_workers_that_it_has_at_least() -> None:
    (job,) = read("kuberay.yaml")
    assert f"cluster/workers.py wait {groups(job)[1]['minReplicas']};" in scripts("kuberay.yaml")["entrypoint"]
    assert "$(" not in job["spec"]["entrypoint"], "Kubernetes would expand it"
