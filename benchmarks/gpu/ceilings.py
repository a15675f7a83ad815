"""What the chip gives at best: products of matrices of the paper's shapes and of large ones, and copies."""

from __future__ import annotations

import torch

from benchmarks.gpu.measuring import PRECISIONS, Bench, Row, matrix_products, milliseconds

COPIED_BYTES = 2**31


def ceilings(bench: Bench) -> list[Row]:
    """A row a product and precision, then one for copies within the GPU's memory."""
    return [*products(bench), copies(bench)]


def products(bench: Bench) -> list[Row]:
    """TFLOP/s of each product (rows, inner) (inner, columns), on random values."""
    rows: list[Row] = []
    for what, (tokens, inner, columns) in shapes(bench).items():
        left = torch.randn(tokens, inner, device=bench.device)
        right = torch.randn(inner, columns, device=bench.device)
        flop = 2 * tokens * inner * columns
        for precision in PRECISIONS:
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            a, b = left.to(dtype), right.to(dtype)
            with matrix_products(precision):
                taken = milliseconds(lambda a=a, b=b: a @ b, bench.device, calls=bench.size(10, 1), repeats=5)  # type: ignore[misc]
            shape = f"{tokens} x {inner} x {columns}"
            rows.append({"product": what, "shape": shape, "precision": precision, "TFLOP/s": flop / taken / 1e9})
    return rows


def shapes(bench: Bench) -> dict[str, tuple[int, int, int]]:
    """What is multiplied: a stage-2 step's own products forward, and a large square."""
    config = bench.paper()
    tokens = config.training.transformer.batch_size * sum(config.autoencoder.schedule)
    width, square = config.transformer.embed_dim, bench.size(8192, 256)
    return {
        "a large square": (square, square, square),
        "query, key, value": (tokens, width, 3 * width),
        "attention out": (tokens, width, width),
        "MLP in": (tokens, width, 4 * width),
        "MLP out": (tokens, 4 * width, width),
        "logits": (tokens, width, config.autoencoder.codebook_size),
    }


def copies(bench: Bench) -> Row:
    """GB/s of a copy, bytes read and bytes written counted."""
    source = torch.randn(bench.size(COPIED_BYTES, 2**20) // 4, device=bench.device)
    target = torch.empty_like(source)
    taken = milliseconds(lambda: target.copy_(source), bench.device, calls=5, repeats=5)
    return {"product": "copy in memory", "GB/s": 2 * 4 * source.numel() / taken / 1e6}
