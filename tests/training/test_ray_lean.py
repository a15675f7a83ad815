"""A trial that Tune ends early leaves nothing behind in a process that goes on to the next one."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mage.algorithms.mage.config import MageConfig
from mage.data.trajectories import Trajectories

pytestmark = pytest.mark.ray


def test_a_trial_that_is_stopped_gives_its_cpus_to_the_next_in_its_process(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: MageConfig, tmp_path: Path
) -> None:
    import ray
    from ray import tune

    from mage.search.trial import TIME, ForwardEvaluations
    from mage.training.ray_train import Placement, train_with_ray

    def trial(point: Mapping[str, Any]) -> None:
        name, all_cpus = f"run-{point['number']}", Placement(cpus_per_worker=2)
        train = partial(train_with_ray, trajectories, tiny_config, [0], name, tmp_path, all_cpus)
        train(evaluations=1, score=lambda policies: 0.0, callbacks=[ForwardEvaluations()])

    trajectories = ray.put(tiny_maze)
    tuner = tune.Tuner(
        tune.with_resources(trial, {"node:__internal_head__": 0.001}),
        param_space={"number": tune.grid_search([0, 1])},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=1, time_budget_s=60),
        run_config=tune.RunConfig(name="tune", storage_path=str(tmp_path), stop={TIME: 1}, verbose=0),
    )
    stopped = [result.metrics or {} for result in tuner.fit()]
    assert [metrics.get(TIME) for metrics in stopped] == [1, 1]
    assert len({metrics["pid"] for metrics in stopped}) == 1
