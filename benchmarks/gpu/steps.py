"""Training at the paper's size: time, model FLOP/s, memory and kernels of a step; what rounding does to learning."""

from __future__ import annotations

import multiprocessing
import queue
import time
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.measuring import (
    PRECISIONS,
    Bench,
    Row,
    matrix_products,
    milliseconds,
    peak_memory,
    stage_of,
    synchronize,
    synthetic,
)
from mage import scenarios
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.nn.blocks import Block
from mage.training.engine import Engine
from mage.training.trainer import Trainer

STAGES = ("autoencoder", "transformer")
PROFILED_STEPS, SHOWN_KERNELS, KERNEL_NAME = 3, 15, 90
SPANS = ("Optimizer.step#AdamW.step",)  # no kernels, but what the profiler puts around some
COMPILING_SECONDS = 110.0
COMPILED = ("transformer bf16", "transformer tf32", "autoencoder bf16", "autoencoder tf32")


def steps(bench: Bench) -> list[Row]:
    """A row a stage and precision, with its kernels."""
    rows: list[Row] = []
    for name in STAGES:
        flop = 0
        for precision in PRECISIONS:
            row: Row = {"stage": name, "precision": precision, "how": "eager"}
            with peak_memory(bench.device, row), matrix_products(precision):
                trainer = Trainer(synthetic(bench.size(500, 20)), bench.paper(), seed=0, device=bench.device)
                stage = stage_of(trainer, name, precision)
                flop = flop or flop_of(stage)
                row |= timed(bench, stage, flop)
            with matrix_products(precision):
                row |= profiled(stage, row["ms"])
            row["parameters"] = sum(each.numel() for own in stage.optimisers.values() for each in own.parameters)
            print(f"{name} {precision}: {row['ms']:.2f} ms, busy {row['busy']:.0%}", flush=True)
            rows.append(row)
    return rows


def timed(bench: Bench, stage: Engine, flop: int) -> Row:
    """Of a step that needs so many floating-point operations."""
    taken = milliseconds(stage.train_step, bench.device, calls=bench.size(5, 1), repeats=bench.size(5, 2))
    speed = stage.config.batch_size / taken * 1000
    return {"ms": taken, "windows/s": speed, "TFLOP": flop / 1e12, "TFLOP/s": flop / taken / 1e9}


def step_milliseconds(bench: Bench) -> dict[str, float]:
    """Of each stage, eager, in TF32."""
    taken = {}
    for name in STAGES:
        trainer = Trainer(synthetic(bench.size(500, 20)), bench.paper(), seed=0, device=bench.device)
        with matrix_products("tf32"):
            taken[name] = timed(bench, stage_of(trainer, name, "tf32"), 0)["ms"]
    return taken


def flop_of(stage: Engine) -> int:
    """Floating-point operations of a step, forward and backward, as torch counts them: matrix products, attention."""
    stage.train_step()  # the first one also writes all true tokens of the data
    with FlopCounterMode(display=False) as counter:
        stage.train_step()
    return int(counter.get_total_flops())


def profiled(stage: Engine, step_milliseconds: float) -> Row:
    """The kernels that take longest, their share of all kernels, and the share of a step in which one runs."""
    on_gpu = stage.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(PROFILED_STEPS):
            stage.train_step()
        synchronize(stage.device)
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    found = [
        (event.key, event.count / PROFILED_STEPS, kernel_microseconds(event, on_gpu) / PROFILED_STEPS)
        for event in profiler.key_averages()
        if event.device_type == wanted and not event.is_user_annotation and event.key not in SPANS
    ]
    total = sum(each[2] for each in found)
    top = sorted(found, key=lambda each: -each[2])[:SHOWN_KERNELS]
    kernels = [
        {"kernel": key[:KERNEL_NAME], "calls a step": calls, "us a step": each, "share": each / total}
        for key, calls, each in top
    ]
    launches = sum(each[1] for each in found)
    return {"kernels": kernels, "launches": launches, "busy": total / 1000 / step_milliseconds}


def kernel_microseconds(event: Any, on_gpu: bool) -> float:
    """That an operator or kernel itself took."""
    return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)


def compiled(bench: Bench) -> list[Row]:
    """Steps with every transformer block compiled, in a process of its own that is ended when it takes too long."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    cases = COMPILED[:1] if bench.small else COMPILED
    worker = context.Process(target=compile_and_time, args=(bench, cases, results))
    worker.start()
    rows: list[Row] = []
    ends = time.monotonic() + min(COMPILING_SECONDS, max(bench.seconds_left, 1.0))
    while len(rows) < len(cases) and time.monotonic() < ends and (worker.is_alive() or not results.empty()):
        try:
            rows.append(results.get(timeout=1.0))
        except queue.Empty:
            continue
        print({name: rows[-1].get(name) for name in ("stage", "precision", "ms", "compiling s")}, flush=True)
    worker.kill()
    worker.join()
    return rows


def compile_and_time(bench: Bench, cases: tuple[str, ...], results: Any) -> None:
    """What that process does: puts one row a case into the queue."""
    trajectories = synthetic(bench.size(500, 20))
    for case in cases:
        name, precision = case.split()
        row: Row = {"stage": name, "precision": precision, "how": "blocks compiled"}
        with peak_memory(bench.device, row), matrix_products(precision):
            trainer = Trainer(trajectories, bench.paper(), seed=0, device=bench.device)
            stage = stage_of(trainer, name, precision)
            for network in trainer.networks.values():
                for module in network.modules():
                    if isinstance(module, Block):
                        module.compile(dynamic=False)
            began = time.monotonic()
            stage.train_step()
            synchronize(bench.device)
            row["compiling s"] = time.monotonic() - began
            row |= {key: value for key, value in timed(bench, stage, 0).items() if "FLOP" not in key}
        results.put(row)


def learning(bench: Bench) -> list[Row]:
    """Both stages from the same seed in each precision, on the same data: a row a logged step."""
    trajectories = real_data(bench)
    count = bench.size(300, 4)
    changes = [f"training.{name}.{field}" for name in STAGES for field in (f"steps={count}", "warmup_steps=50")]
    config = bench.paper(*changes, f"training.log_every={count // 4}")
    rows: list[Row] = []
    for precision in PRECISIONS:
        trainer = Trainer(trajectories, config, seed=0, device=bench.device)
        for name in STAGES:
            began = time.monotonic()
            with matrix_products(precision):
                stage = stage_of(trainer, name, precision)
                stage.train_until(count)
                synchronize(bench.device)
            taken = time.monotonic() - began
            data = {"precision": precision, "data": trajectories.task.dataset_id, "seconds": taken}
            rows += [data | row for row in stage.history]
            print(f"{name} {precision}: {count} steps in {taken:.1f} s, loss {stage.history[-1]['loss']}", flush=True)
    return rows


def real_data(bench: Bench) -> Trajectories:
    """The scenario's dataset where it is on this machine, else the synthetic one."""
    try:
        return load_trajectories(scenarios.get(bench.scenario), None, bench.namespace, download=False)
    except MageError as error:
        print(f"synthetic data, because: {error}", flush=True)
        return synthetic(bench.size(500, 20))


def many_seeds(bench: Bench) -> list[Row]:
    """Steps a second of the `cpu` preset: one seed alone, then several processes that share the GPU."""
    rows = [{"processes": 1, "stage": name, "steps/s": rate} for name, rate in cpu_preset_rates(bench).items()]
    context = multiprocessing.get_context("spawn")
    together = bench.size(5, 2)
    with context.Manager() as manager:
        barrier = manager.Barrier(together)
        with context.Pool(together) as pool:
            measured = pool.starmap(cpu_preset_rates, [(bench, barrier)] * together)
    for name in measured[0]:
        rate = sum(each[name] for each in measured)
        rows.append({"processes": together, "stage": name, "steps/s": rate})
    return rows


def cpu_preset_rates(bench: Bench, barrier: Any = None) -> dict[str, float]:
    """Steps a second of each stage; all processes of a barrier measure the same stage at the same time."""
    from mage.config import load_config

    torch.set_num_threads(1)
    trainer = Trainer(synthetic(bench.size(500, 20)), load_config("cpu", (), "adroit"), seed=0, device=bench.device)
    rates = {}
    for name in (*STAGES, "inverse_dynamics"):
        stage = stage_of(trainer, name, "fp32")
        stage.train_step()
        synchronize(bench.device)
        if barrier is not None:
            barrier.wait(60)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < bench.size(3, 1):
            for _ in range(10):
                stage.train_step()
            synchronize(bench.device)
            count += 10
        rates[name] = count / (time.monotonic() - began)
    return rates
