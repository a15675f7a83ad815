"""The model card of a policy: YAML front matter that the Hugging Face Hub reads, and text that people read.

The front matter has a `model-index` with the scores of the run's evaluated episodes, where there are any. Its format is
https://github.com/huggingface/hub-docs/blob/main/modelcard.md; `huggingface_hub` writes it.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from mage import __version__
from mage.inspection.document import FILE, Inspection, read_inspection
from mage.interface import Policy
from mage.run_directory import STARTED
from mage.sharing.data_card import data_card
from mage.sharing.scores import Scores

TEMPLATE = Path(__file__).with_name("card.md.jinja")
LIBRARY = "mage-rl"
TASK = "reinforcement-learning"


def card_of(run: Path, policy: Policy, scores: Scores | None, license: str | None = None) -> str:
    """The README.md of a policy.

    Args:
        run: its run directory, whose `inspection.json` and `run.json` are read where they are there.
        scores: of its evaluated episodes; None writes a card that says that there are none.
        license: of the weights, as the Hub names it (apache-2.0, cc-by-4.0, ..).
    """
    inspection = _inspection(run)
    data = data_card(policy.task, inspection)
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        front_matter=front_matter(policy, scores, license),
        policy=policy,
        task=policy.task,
        environment_name=_environment_name(policy),
        purpose=(inspect.getdoc(type(policy.agent)) or "").split("\n\n")[0].replace("\n", " "),
        config=yaml.safe_dump(policy.config.model_dump(mode="json"), sort_keys=False),
        stages=inspection["stages"] if inspection else [],
        scores=scores,
        data=data,
        license=license,
        mage_version=_version_that_trained(run),
        this_version=__version__,
    )


def front_matter(policy: Policy, scores: Scores | None, license: str | None) -> str:
    """The YAML that the Hub reads, without its `---`."""
    name = f"{policy.algorithm}-{policy.task.scenario}".replace("/", "-").replace(":", "-")
    card = ModelCardData(
        library_name=LIBRARY,
        license=license,
        pipeline_tag=TASK,
        tags=[TASK, "offline-reinforcement-learning", "minari", policy.task.scenario, policy.algorithm],
        model_name=name if scores else None,
        eval_results=_results(policy, scores) if scores else None,
    )
    return str(card.to_yaml()).strip()


def _results(policy: Policy, scores: Scores) -> list[EvalResult]:
    """The rows of the `model-index`: the interquartile mean with its interval, the mean, successes, and the return."""
    over = {"episodes": scores.episodes, "target_return": policy.target_return}
    bounds = {} if scores.low is None else {"interval": [_rounded(scores.low), _rounded(scores.high)]}
    told = "" if scores.low is None else f" ({scores.percent} interval {scores.low:.1f} to {scores.high:.1f})"
    rows: list[tuple[str, str, Any, dict[str, Any]]] = [
        (f"iqm_{scores.measure}", f"interquartile mean of the {scores.name}{told}", _rounded(scores.iqm), bounds),
        (f"mean_{scores.measure}", f"mean {scores.name}", _rounded(scores.mean), {}),
        ("mean_reward", "mean_reward", f"{scores.mean_return:.2f} +/- {scores.deviation:.2f}", {}),
    ]
    if scores.success_rate is not None:
        rows.append(("success_rate", "success rate in percent", _rounded(scores.success_rate), {}))
    return [
        EvalResult(
            task_type=TASK,
            task_name=TASK,
            dataset_type=policy.task.scenario,
            dataset_name=policy.task.scenario,
            dataset_args={"dataset_id": policy.task.dataset_id, "fingerprint": policy.task.fingerprint},
            metric_type=kind,
            metric_name=name,
            metric_value=value,
            metric_args=over | more,
        )
        for kind, name, value, more in rows
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _inspection(run: Path) -> Inspection | None:
    return read_inspection(run) if (run / FILE).is_file() else None


def _environment_name(policy: Policy) -> str | None:
    specification = policy.task.environment_spec
    return str(json.loads(specification)["id"]) if specification else None


def _version_that_trained(run: Path) -> str | None:
    """Of mage; None for a run that did not write it down."""
    try:
        return str(json.loads((run / STARTED).read_text())["mage"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
