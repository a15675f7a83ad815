"""Ray Train with fewer processes, which a trial that lasts a minute would otherwise wait and pay for."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.train import Result
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy


class UnannouncedWorkers(FixedScalingPolicy):
    """A fixed number of workers, of which only their placement group asks the cluster, as everything else here does.

    Ray Train has a process that asks for them once more, ahead of the datasets of Ray Data.
    """

    def after_controller_start(self, train_run_context: Any) -> None:
        """Asks for nothing."""

    def _maybe_send_resource_request(self) -> None:
        """Nor later."""


class LeanTorchTrainer(TorchTrainer):
    """Ray Train's, with up to four processes a run less: 2 to 9 s of a core each.

    Three have no work for us: one would manage Ray Data's datasets, one announce workers to the autoscaler, which sees
    their placement group, and one give a dead run's placement group back, which the board does. In an actor, such as a
    trial of Tune's, which waits meanwhile, the controller needs no actor of its own. Where a Ray names all this
    otherwise, these processes start, and nothing else changes.
    """

    def _initialize_and_run_controller(self, **parts: Any) -> Result:
        parts["scaling_policy"] = UnannouncedWorkers(self.scaling_config)
        if ray.get_runtime_context().get_actor_id() is None:
            return super()._initialize_and_run_controller(**parts)
        controller = TrainController(**parts)
        try:
            asyncio.run(controller.run())
        finally:
            end_workers(controller)
        return controller.get_result()

    def _create_default_callbacks(self) -> list[Any]:
        needless = {"DatasetsCallback", "PlacementGroupCleanerCallback"}
        return [callback for callback in super()._create_default_callbacks() if type(callback).__name__ not in needless]


def end_workers(controller: TrainController) -> None:
    """Ends the workers that a controller leaves when Tune ends its trial early, by a SystemExit where that reports.

    They end with the process that started them, but that goes on to the next trial, which would wait for their CPUs.
    """
    group = controller.get_worker_group()
    if group is not None and group.has_started():
        group.abort()
