"""Cuts SkyPilot's and Kubernetes' own schemas down to the fields that the files in `cluster/` use.

In the root of a checkout, again when a file has come to use another field:

    python3 -m venv /tmp/schemas
    /tmp/schemas/bin/pip install skypilot==0.14.1 kubernetes-validate==1.37.0
    /tmp/schemas/bin/python tests/cluster/cut_schemas.py

A field that is not used is unknown to what is left, as is one that never was: either way a test fails and this is to be
run, which keeps the field only where the original knows it. Both packages are under the Apache License 2.0.
`tests/cluster/schemas/kuberay.json` is not made here: no package has it, so it was written after KubeRay's reference.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
KEPT = ("type", "enum", "pattern", "required", "minimum", "exclusiveMinimum", "const")
Schema = dict[str, Any]


def main() -> None:
    """Writes `schemas/skypilot.json` and `schemas/kubernetes.json`."""
    job = yaml.safe_load((REPOSITORY / "cluster" / "kuberay.yaml").read_text())["spec"]["rayClusterSpec"]
    shared = yaml.safe_load_all((REPOSITORY / "cluster" / "kuberay_shared.yaml").read_text())
    task = yaml.safe_load((REPOSITORY / "cluster" / "skypilot.yaml").read_text())
    templates = [group["template"] for group in (job["headGroupSpec"], *job["workerGroupSpecs"])]
    objects = {document["kind"]: [document] for document in shared}
    definitions = kubernetes()
    write(
        "kubernetes",
        f"kubernetes-validate {version('kubernetes-validate')}",
        {
            "PodTemplateSpec": cut(definitions["PodTemplateSpec"], templates, definitions),
            "ResourceRequirements": cut(
                definitions["ResourceRequirements"], [job["autoscalerOptions"]["resources"]], definitions
            ),
            **{kind: cut(definitions[kind], used, definitions) for kind, used in objects.items()},
        },
    )
    from sky.utils import schemas

    parts = {
        "task": cut(schemas.get_task_schema(), [task], {}),
        "resources": cut(schemas.get_resources_schema(), [task["resources"]], {}),
        "storage": cut(schemas.get_storage_schema(), list(task["file_mounts"].values()), {}),
    }
    write("skypilot", f"skypilot {version('skypilot')}", parts)


def kubernetes() -> dict[str, Schema]:
    """The core objects by name, of the strict schemas for Kubernetes 1.37."""
    import kubernetes_validate

    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / "v1.37.0-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]
    groups = (".core.v1.", ".meta.v1.", ".api.resource.")
    return {
        name.rpartition(".")[2]: schema
        for name, schema in definitions.items()
        if any(group in name for group in groups)
    }


def cut(schema: Schema, used: list[Any], definitions: dict[str, Schema]) -> Schema:
    """A schema without descriptions, and of its properties those alone that one of the values has."""
    if "$ref" in schema:
        return cut(definitions[schema["$ref"].rpartition(".")[2]], used, definitions)
    kept = {key: schema[key] for key in KEPT if key in schema}
    if "case_insensitive_enum" in schema:  # a keyword of SkyPilot's own
        kept["enum"] = [form for value in schema["case_insensitive_enum"] for form in (value.upper(), value.lower())]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            kept[key] = [cut(option, used, definitions) for option in schema[key]]
    maps = [value for value in used if isinstance(value, dict)]
    if "properties" in schema:
        names = {name for value in maps for name in value} & schema["properties"].keys()
        kept["properties"] = {
            name: cut(schema["properties"][name], [value[name] for value in maps if name in value], definitions)
            for name in sorted(names)
        }
        kept["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        values = [item for value in maps for item in value.values()]
        kept["additionalProperties"] = cut(schema["additionalProperties"], values, definitions)
    elif "additionalProperties" in schema:
        kept["additionalProperties"] = schema["additionalProperties"]
    if "patternProperties" in schema:
        kept["patternProperties"] = schema["patternProperties"]
    if "items" in schema:
        items = [item for value in used if isinstance(value, list) for item in value]
        kept["items"] = cut(schema["items"], items, definitions)
    return kept


def write(name: str, source: str, schemas: dict[str, Schema]) -> None:
    """One file, with where it comes from."""
    path = REPOSITORY / "tests" / "cluster" / "schemas" / f"{name}.json"
    path.write_text(json.dumps({"source": source, **schemas}, indent=1) + "\n")


if __name__ == "__main__":
    main()
