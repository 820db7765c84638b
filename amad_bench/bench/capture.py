"""Costs of recording attention, beside a plain forward pass and beside storing the maps of an eager one.

Axes: B batch, H heads, Q query tokens, K key tokens, L target tokens, T text tokens, R regions, d width.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.models.blip.configuration_blip import BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipVisionModel

from amad_bench.bench.measuring import devices, extra_mib, interleaved_seconds, on_threads, percentiles_ms
from amad_bench.losses import ce_loss
from amad_bench.models.attention.kinds import find_stacks
from amad_bench.models.attention.recorder import record
from amad_bench.models.blip.model import use_sdpa
from amad_bench.models.vlt5.model import VLT5, VLT5Config


class Vlt5Size(NamedTuple):
    """Encoder and decoder have the same sizes: t5-small's, with VL-T5's regions and batch."""

    batch: int = 80
    text: int = 20
    regions: int = 36
    target: int = 10
    layers: int = 6
    heads: int = 8
    width: int = 512
    vocabulary: int = 32_200
    feature_size: int = 2048


class VisionSize(NamedTuple):
    """BLIP's ViT-B at 384 px."""

    batch: int = 8
    image: int = 384
    patch: int = 16
    layers: int = 12
    heads: int = 12
    width: int = 768


class Subject(NamedTuple):
    """A model under SDPA and the same eager, their arguments, and the passes short enough to be measured.

    size: as it was built; queries: tokens of its encoder.
    """

    name: str
    sdpa: nn.Module
    eager: nn.Module
    arguments: dict[str, Tensor]
    sites: tuple[str, ...]
    passes: tuple[str, ...]
    size: Vlt5Size | VisionSize
    queries: int


class Seen(NamedTuple):
    """A forward pass: its output, what is held of its attention, and the maps that were asked for."""

    output: Any
    held: Sequence[Tensor] = ()
    maps_BHQK: Sequence[Tensor] = ()


def bench_capture(
    threads: int,
    repeat: int,
    vlt5: Vlt5Size = Vlt5Size(),  # noqa: B008 (immutable)
    vision: VisionSize = VisionSize(),  # noqa: B008
) -> list[dict[str, Any]]:
    """One row per device, model, pass and method; float32.

    Passes: forward, in evaluation mode without gradients, as of a teacher; training (VL-T5), forward and
    backward. Methods: plain, SDPA and nothing else; record, all layers of all sites recorded; record + last
    maps, then the probabilities of each site's last layer; eager + all maps, eager attention whose maps are
    kept, as `output_attentions=True` does it. Training minimises the cross-entropy and, in the last two, the
    mean square of the last layers' maps.
    Columns: B, Q (encoder tokens), layers, H, d; dtype, device, threads; p50_ms, p20_ms, p80_ms;
    extra_mib, the largest memory that torch's allocator had handed out beside model and batch, gradients
    included; held_mib, of it what the method keeps of a forward pass; maps_mib, all maps of all sites;
    copy_gib_s, what copying 256 MiB reads and writes in a second; floor_ms, writing all maps at that rate.
    """
    with on_threads(threads):
        return [
            row
            for device in devices()
            for build in (partial(_vlt5, vlt5), partial(_blip_vision, vision))
            for row in _measure(_moved(build(), device), device, repeat)
        ]


def _vlt5(size: Vlt5Size) -> Subject:
    config = VLT5Config(
        vocab_size=size.vocabulary,
        d_model=size.width,
        d_kv=size.width // size.heads,
        d_ff=4 * size.width,
        num_layers=size.layers,
        num_decoder_layers=size.layers,
        num_heads=size.heads,
        feat_dim=size.feature_size,
        max_n_boxes=size.regions,
        decoder_start_token_id=0,  # pyright: ignore[reportCallIssue]
    )
    eager_config = deepcopy(config)
    eager_config._attn_implementation = "eager"
    sdpa, eager = VLT5(config), VLT5(eager_config)
    generator = torch.Generator().manual_seed(0)
    batch = {
        "input_ids": torch.randint(3, size.vocabulary, (size.batch, size.text), generator=generator),
        "vis_feats": torch.randn(size.batch, size.regions, size.feature_size, generator=generator),
        "boxes": torch.rand(size.batch, size.regions, 4, generator=generator),
        "labels": torch.randint(3, size.vocabulary, (size.batch, size.target), generator=generator),
    }
    sites, queries = ("encoder.self", "decoder.self", "decoder.cross"), size.text + size.regions
    return Subject("VL-T5", sdpa, eager, batch, sites, ("forward", "training"), size, queries)


def _blip_vision(size: VisionSize) -> Subject:
    config = BlipVisionConfig(
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        image_size=size.image,
        patch_size=size.patch,
        initializer_range=0.02,
    )
    sdpa, eager = BlipVisionModel(config), BlipVisionModel(config)
    use_sdpa(sdpa)
    generator = torch.Generator().manual_seed(0)
    batch = {"pixel_values": torch.randn(size.batch, 3, size.image, size.image, generator=generator)}
    queries = (size.image // size.patch) ** 2 + 1
    return Subject("BLIP vision", sdpa, eager, batch, ("vision.self",), ("forward",), size, queries)


def _moved(subject: Subject, device: str) -> Subject:
    subject.sdpa.to(device)
    subject.eager.to(device)
    return subject._replace(arguments={name: tensor.to(device) for name, tensor in subject.arguments.items()})


def _plain(subject: Subject) -> Seen:
    return Seen(subject.sdpa(**subject.arguments))


def _record(subject: Subject, last_maps: bool) -> Seen:
    with record(subject.sdpa, subject.sites) as recorder:
        output = subject.sdpa(**subject.arguments)
        sites = recorder.trace(output, subject.arguments.get("labels")).sites
    layers = [layer for site in sites.values() for layer in site]
    held = [tensor for one in layers for tensor in (one.query_BHQD, one.key_BJKD, one.value_BJKD)]
    held += [tensor for one in layers for tensor in (one.bias_BHQK, one.mask_BHQK) if tensor is not None]
    maps_BHQK = [site[-1].probs_BHQK() for site in sites.values()] if last_maps else []
    return Seen(output, [*held, *maps_BHQK], maps_BHQK)


def _eager(subject: Subject) -> Seen:
    """A map is the last thing that each attention module returns; so does transformers find them."""
    maps: dict[str, list[Tensor]] = {site: [] for site in subject.sites}
    handles = [
        attention.module.register_forward_hook(partial(_keep_map, maps[f"{stack}.{name}"]))
        for stack, blocks in find_stacks(subject.eager).items()
        for block in blocks
        for name, attention in block.attention.items()
    ]
    try:
        output = subject.eager(**subject.arguments)
    finally:
        for handle in handles:
            handle.remove()
    return Seen(output, [one for site in maps.values() for one in site], [site[-1] for site in maps.values()])


def _keep_map(maps: list[Tensor], _module: nn.Module, _args: tuple, output: Any) -> None:
    maps.append(output[-1])


METHODS: Sequence[tuple[str, Callable[[Subject], Seen]]] = (
    ("plain", _plain),
    ("record", partial(_record, last_maps=False)),
    ("record + last maps", partial(_record, last_maps=True)),
    ("eager + all maps", _eager),
)


def _forward(subject: Subject, method: Callable[[Subject], Seen]) -> float:
    """MiB held at the end; everything is alive until then, as for a loss."""
    with torch.no_grad():
        seen = method(subject)
    return _mib(seen.held)


def _training(subject: Subject, method: Callable[[Subject], Seen]) -> float:
    seen = method(subject)
    loss = ce_loss(seen.output.logits, subject.arguments["labels"])
    for map_BHQK in seen.maps_BHQK:
        loss = loss + map_BHQK.square().mean()
    loss.backward()
    for model in (subject.sdpa, subject.eager):
        model.zero_grad(set_to_none=True)  # so that the next pass finds what this one found
    return _mib(seen.held)


def _measure(subject: Subject, device: str, repeat: int) -> list[dict[str, Any]]:
    return [row for name in subject.passes for row in _measure_pass(subject, name, device, repeat)]


def _measure_pass(subject: Subject, name: str, device: str, repeat: int) -> list[dict[str, Any]]:
    one_pass = PASSES[name]
    for model in (subject.sdpa, subject.eager):
        model.train(name == "training")
    example = subject._replace(arguments={key: value[:1] for key, value in subject.arguments.items()})
    for _, method in METHODS:
        one_pass(example, method)  # a first call sets things up
    steps = [partial(one_pass, subject, method) for _, method in METHODS]
    held_mib: list[float] = []
    extra = [extra_mib(lambda step=step: held_mib.append(step()), device) for step in steps]
    seconds, gib_s = interleaved_seconds(steps, repeat, device)
    maps_mib = held_mib[-1]
    return [
        {
            "model": subject.name,
            "pass": name,
            "method": method,
            "B": subject.size.batch,
            "Q": subject.queries,
            "layers": subject.size.layers,
            "H": subject.size.heads,
            "d": subject.size.width,
            "dtype": "float32",
            "device": device,
            "threads": torch.get_num_threads(),
            **percentiles_ms(taken),
            "extra_mib": mib,
            "held_mib": held,
            "maps_mib": maps_mib,
            "copy_gib_s": gib_s,
            "floor_ms": 1e3 * maps_mib / 2**10 / gib_s,
        }
        for (method, _), taken, mib, held in zip(METHODS, seconds, extra, held_mib, strict=True)
    ]


def _mib(tensors: Sequence[Tensor]) -> float:
    """Memory that they occupy together: a fused projection, a bias that all layers share, counts once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values()) / 2**20


PASSES = {"forward": _forward, "training": _training}
