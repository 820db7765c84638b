"""Training steps of models that are not this package's, with AMAD, eager and compiled.

Axes: B batch, L tokens, S pixels of a side.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._dynamo.utils import counters
from transformers import (
    AutoModel,
    BertConfig,
    LlamaConfig,
    PretrainedConfig,
    ViTConfig,
)

from amad_bench.bench.measuring import interleaved_seconds, percentiles_ms
from amad_bench.losses import build_loss
from amad_bench.models.attention.recorder import record
from amad_bench.training.compiling import forward_pass_of

ROUNDS = 10
WARM = 2  # steps that nobody counts: they compile
VOCABULARY = 8000


class Size(NamedTuple):
    batch: int = 4
    tokens: int = 128
    depth: int = 4
    width: int = 256


class Foreign(NamedTuple):
    """heads: of teacher and student; config: from a number of heads."""

    name: str
    site: str
    heads: tuple[int, int]
    config: Callable[[int], PretrainedConfig]
    inputs: dict[str, Tensor]


def foreign_models(size: Size = Size()) -> list[Foreign]:  # noqa: B008 (immutable)
    """A language model with grouped queries, an encoder of text and one of pictures."""
    generator = torch.Generator().manual_seed(0)
    common: dict[str, Any] = {
        "hidden_size": size.width,
        "intermediate_size": 4 * size.width,
        "num_hidden_layers": size.depth,
    }
    ids_BL = torch.randint(3, VOCABULARY, (size.batch, size.tokens), generator=generator)
    side = 16 * int(size.tokens**0.5)
    pixels_B3SS = torch.randn(size.batch, 3, side, side, generator=generator)

    def llama(heads: int) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=VOCABULARY, num_attention_heads=heads, num_key_value_heads=heads // 4, **common
        )

    def bert(heads: int) -> BertConfig:
        return BertConfig(vocab_size=VOCABULARY, num_attention_heads=heads, **common)

    def vit(heads: int) -> ViTConfig:
        return ViTConfig(image_size=side, patch_size=16, num_attention_heads=heads, **common)

    return [
        Foreign("Llama, grouped queries", "decoder.self", (16, 8), llama, {"input_ids": ids_BL}),
        Foreign("BERT", "encoder.self", (8, 4), bert, {"input_ids": ids_BL}),
        Foreign("ViT", "vision.self", (8, 4), vit, {"pixel_values": pixels_B3SS}),
    ]


def bench_foreign(
    device: str,
    size: Size = Size(),  # noqa: B008 (immutable)
    rounds: int = ROUNDS,
) -> Iterator[dict[str, Any]]:
    """Two rows a model: a step of a student whose maps of all layers follow a teacher's, float32.

    Columns: model, heads, site, batch, tokens, depth, width; compiled: of the student; graphs: that it was
    cut into; p50_ms, p20_ms, p80_ms; steps_s; speedup: the medians' ratio; device, threads.
    """
    for foreign in foreign_models(size):
        yield from _rows(foreign, device, size, rounds)


def _rows(foreign: Foreign, device: str, size: Size, rounds: int) -> list[dict[str, Any]]:
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    teacher, student = (AutoModel.from_config(foreign.config(heads)).to(device) for heads in foreign.heads)
    teacher.eval().requires_grad_(False)
    inputs = {name: tensor.to(device) for name, tensor in foreign.inputs.items()}
    loss = build_loss("amad", sites=[foreign.site], layer_map="uniform", variant="kl")
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5)
    with (
        record(teacher, sites=[foreign.site]) as of_teacher,
        record(student, sites=[foreign.site]) as of_student,
    ):

        def step(run: Callable[..., Any]) -> None:
            with torch.no_grad():
                taught = of_teacher.trace(teacher(**inputs))
            output = run(**inputs)
            attention = loss(taught, of_student.trace(output))["attention"]
            (attention + output.last_hidden_state.square().mean()).backward()
            optimizer.step()
            optimizer.zero_grad()

        ways: dict[bool, Callable[..., Any]] = {False: student, True: forward_pass_of(student, compiled=True)}
        steps = [partial(step, run) for run in ways.values()]
        for one in steps:
            for _ in range(WARM):
                one()
        graphs = counters["stats"]["unique_graphs"]
        seconds, _ = interleaved_seconds(steps, rounds, device)
    times = [percentiles_ms(taken) for taken in seconds]
    return [
        {
            "model": foreign.name,
            "heads": f"{foreign.heads[0]} -> {foreign.heads[1]}",
            "site": foreign.site,
            **size._asdict(),
            "device": device,
            "threads": torch.get_num_threads(),
            "compiled": compiled,
            "graphs": graphs if compiled else None,
            **own,
            "steps_s": 1e3 / own["p50_ms"],
            "speedup": times[0]["p50_ms"] / own["p50_ms"],
        }
        for compiled, own in zip(ways, times, strict=True)
    ]
