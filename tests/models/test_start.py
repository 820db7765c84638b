"""Pre-trained weights arrive whole, or not at all."""

import json
from dataclasses import replace

import pytest
import torch
from transformers.models.blip.modeling_blip import BlipForQuestionAnswering
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amad_bench.models.checkpoints import save_tensors
from amad_bench.models.heads import head_partition
from amad_bench.models.settings import settings_of
from amad_bench.models.start import load_start, read_start
from amad_bench.models.start_facts import start_facts
from amad_bench.models.weights import Weights, own_tensors
from amad_bench.plan.run_config import Start
from amad_bench.runtime.errors import UserError
from tests.tiny_models import KINDS, SITES, START, VOCABULARY, built, run_config, shaped_model, tiny_batch

INHERIT = Start(cut="inherit", inherit_heads="first")


def _trained(kind, seed=1, **options):
    """All parameters away from where they started."""
    model = shaped_model(kind, seed, **options)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator))
    return model


def _weights(model):
    return Weights(own_tensors(model), head_partition(model), "there")


def _without(weights, part):
    tensors = {name: tensor for name, tensor in weights.tensors.items() if part not in name}
    return Weights(tensors, weights.heads, weights.where)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_weights_give_the_same_function(kind):
    trained, model = _trained(kind), shaped_model(kind)
    maps = load_start(model, _weights(trained), run_config(kind, "vl"))
    assert maps == {site: [[0], [1], [2], [3]] for site in SITES[kind]}
    assert torch.equal(model(**tiny_batch(kind)).logits, trained(**tiny_batch(kind)).logits)


def test_a_captioner_leaves_the_text_encoder():
    trained, model = _trained("blip-vqa"), shaped_model("blip-captioning")
    load_start(model, _weights(trained), run_config("blip-captioning", "vl"))
    own, given = own_tensors(model), own_tensors(trained)
    assert all(torch.equal(tensor, given[name]) for name, tensor in own.items())


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("vlt5", "decoder.block.1.layer.2.layer_norm.weight"),
        ("vlt5", "encoder.visual_embedding."),
        ("blip-vqa", "vision_model."),
        ("blip-vqa", "text_decoder.cls."),
        ("blip-captioning", "layer.0.crossattention.output.dense.bias"),
    ],
)
def test_nothing_may_be_missing_after_vision_and_language(kind, part):
    weights = _without(_weights(_trained(kind)), part)
    with pytest.raises(
        UserError, match=rf"^there: no weights for .* after vl pre-training: missing .*{part}"
    ):
        load_start(shaped_model(kind), weights, run_config(kind, "vl"))


TEXT_PARTS = [
    ("vlt5", "encoder.visual_embedding."),
    ("blip-vqa", "vision_model."),
    ("blip-vqa", ".crossattention."),
    ("blip-vqa", "text_decoder.cls."),
    ("blip-captioning", ".crossattention."),
]


@pytest.mark.parametrize(("kind", "part"), TEXT_PARTS)
def test_what_text_pretraining_lacks_stays_fresh(kind, part):
    trained, model, fresh = _trained(kind), shaped_model(kind), own_tensors(shaped_model(kind))
    load_start(model, _without(_weights(trained), part), run_config(kind, "text"))
    given = own_tensors(trained)
    for name, tensor in own_tensors(model).items():
        assert torch.equal(tensor, (fresh if part in name else given)[name]), name


@pytest.mark.parametrize(("kind", "part"), TEXT_PARTS)
def test_half_of_a_part_is_a_damaged_file(kind, part):
    weights = _weights(_trained(kind))
    first = next(name for name in weights.tensors if part in name)
    with pytest.raises(UserError, match=f"missing {first}; unexpected nothing"):
        load_start(shaped_model(kind), _without(weights, first), run_config(kind, "text"))


@pytest.mark.parametrize("kind", KINDS)
def test_unexpected_tensors_are_refused(kind):
    weights = _weights(_trained(kind))
    more = Weights({**weights.tensors, "pooler.weight": torch.ones(1)}, weights.heads, "there")
    with pytest.raises(UserError, match=r"missing nothing; unexpected pooler.weight; name others"):
        load_start(shaped_model(kind), more, run_config(kind, "vl"))


def test_a_layer_with_a_hole_is_refused_and_more_layers_are_inherited():
    weights = _weights(_trained("vlt5", layers=4))
    for start in (START, INHERIT):
        name = "encoder.block.2.layer.0.layer_norm.weight"
        with pytest.raises(UserError, match=f"missing {name}; unexpected nothing"):
            load_start(shaped_model("vlt5"), _without(weights, name), run_config("vlt5", "vl", start=start))
    model = shaped_model("vlt5")
    load_start(model, weights, run_config("vlt5", "vl", start=INHERIT))
    assert torch.equal(
        own_tensors(model)["encoder.block.0.layer.0.layer_norm.weight"],
        weights.tensors["encoder.block.1.layer.0.layer_norm.weight"],
    )
    with pytest.raises(UserError, match="has 4 layers there, 2 in the model; use `cut: inherit`"):
        load_start(shaped_model("vlt5"), weights, run_config("vlt5", "vl"))


@pytest.mark.trap("heads-3")
def test_other_heads_of_the_same_shapes_are_refused():
    """The trap docs/pretraining.md#heads-3 at a start: all of BLIP's tensors fit."""
    with pytest.raises(UserError, match=r"there: 4 heads at vision.self, 2 in the model; use `cut: inherit`"):
        load_start(
            shaped_model("blip-vqa", heads=2, head_size=8),
            _weights(_trained("blip-vqa")),
            run_config("blip-vqa", "vl"),
        )


def test_tied_tensors_are_known_by_any_of_their_names():
    trained, model = _trained("vlt5"), shaped_model("vlt5")
    weights = _weights(trained)
    tensors = dict(weights.tensors)
    tensors["lm_head.weight"] = tensors.pop("shared.weight")
    load_start(model, Weights(tensors, weights.heads, "there"), run_config("vlt5", "vl"))
    assert torch.equal(model.shared.weight, trained.shared.weight)
    tensors["shared.weight"] = tensors["lm_head.weight"] + 1
    with pytest.raises(UserError, match=r"there: tensors that this model ties to shared.weight differ"):
        load_start(model, Weights(tensors, weights.heads, "there"), run_config("vlt5", "vl"))


def test_new_tokens_are_fresh_after_text_and_refused_after_vision_and_language():
    trained, model = _trained("vlt5"), shaped_model("vlt5", vocabulary=47)
    fresh = model.shared.weight.detach().clone()
    load_start(model, _weights(trained), run_config("vlt5", "text"))
    assert torch.equal(model.shared.weight[:40], trained.shared.weight)
    assert torch.equal(model.shared.weight[40:], fresh[40:])
    for kind, vocabulary in (("vlt5", 47), ("vlt5", 39), ("blip-vqa", 47)):
        weights = _weights(_trained(kind))
        with pytest.raises(
            UserError, match=f"has 40 rows, the tokenizer {vocabulary} tokens; take the token"
        ):
            load_start(shaped_model(kind, vocabulary=vocabulary), weights, run_config(kind, "vl"))


@pytest.mark.parametrize(
    ("kind", "tokens", "fits", "unfit"),
    [
        # T5's 32,100 words and VL-T5's 100 regions, where T5's table has 32,128 rows
        ("vlt5", 150, (50, 78, 149, 150), (49, 151)),
        ("blip-vqa", 42, (40, 41, 42), (39, 43)),  # BERT's words, [DEC] and [ENC]
        ("blip-captioning", 42, (40, 41, 42), (39, 43)),
    ],
)
def test_only_a_familys_own_last_tokens_may_be_new_after_text(kind, tokens, fits, unfit):
    """With fewer rows a word would be fresh, with more the weights know words that the tokenizer lacks."""
    for rows in fits:
        weights, model = _weights(_trained(kind, vocabulary=rows)), shaped_model(kind, vocabulary=tokens)
        fresh = {name: tensor.clone() for name, tensor in own_tensors(model).items()}
        load_start(model, weights, run_config(kind, "text"))
        tables = [name for name, tensor in fresh.items() if len(tensor) == tokens]
        assert tables
        for name in tables:
            own = own_tensors(model)[name]
            assert torch.equal(own[:rows], weights.tensors[name])
            assert torch.equal(own[rows:], fresh[name][rows:])
    for rows in unfit:
        weights = _weights(_trained(kind, vocabulary=rows))
        with pytest.raises(UserError, match=rf"^there: \S+ has {rows} rows, the tokenizer {tokens} tokens; "):
            load_start(shaped_model(kind, vocabulary=tokens), weights, run_config(kind, "text"))


@pytest.mark.parametrize(
    ("kind", "condition", "rows", "tokens", "kept"),
    [
        # BERT's 30522 words and [DEC], [ENC], in tables of 30528 (477 x 64) and 30592 (239 x 128) rows
        ("blip-vqa", "text", 64, 50, 48),
        ("blip-vqa", "text", 128, 50, 48),
        ("blip-captioning", "vl", 64, 50, 50),
        ("vlt5", "vl", 64, 50, 50),
        ("vlt5", "text", 256, 240, 140),
        ("vlt5", "text", 128, 100, 0),
    ],
)
def test_rows_of_padding_are_left(kind, condition, rows, tokens, kept):
    """They are behind all words; what of the model's vocabulary they are not stays fresh."""
    weights, model = _weights(_trained(kind, vocabulary=rows)), shaped_model(kind, vocabulary=tokens)
    fresh = {name: tensor.clone() for name, tensor in own_tensors(model).items()}
    assert start_facts(weights, model, run_config(kind, condition))["padding_rows"] == rows - kept
    load_start(model, weights, run_config(kind, condition))
    tables = [name for name, tensor in fresh.items() if len(tensor) == tokens]
    assert tables
    for name in tables:
        own = own_tensors(model)[name]
        assert torch.equal(own[:kept], weights.tensors[name][:kept])
        assert torch.equal(own[kept:], fresh[name][kept:])


@pytest.mark.parametrize(("rows", "tokens"), [(60, 50), (63, 50), (192, 50), (192, 64)])
def test_rows_that_are_no_padding_are_another_tokenizer(rows, tokens):
    weights = _weights(_trained("blip-vqa", vocabulary=rows))
    model = shaped_model("blip-vqa", vocabulary=tokens)
    with pytest.raises(UserError, match=f"has {rows} rows, the tokenizer {tokens} tokens"):
        load_start(model, weights, run_config("blip-vqa", "text"))


def test_weights_go_into_no_model_of_other_settings():
    weights = replace(_weights(_trained("vlt5")), settings={"layer_norm_epsilon": 1e-5})
    with pytest.raises(ValueError, match="built without the settings of these weights"):
        load_start(shaped_model("vlt5"), weights, run_config("vlt5", "vl"))


@pytest.mark.parametrize("rows", [VOCABULARY - 1, VOCABULARY + 1])
@pytest.mark.parametrize("kind", KINDS)
def test_every_token_is_known_after_vision_and_language(kind, rows):
    weights = _weights(_trained(kind, vocabulary=rows))
    with pytest.raises(UserError, match=f"has {rows} rows, the tokenizer {VOCABULARY} tokens"):
        load_start(shaped_model(kind), weights, run_config(kind, "vl"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_memory_is_matched_only(kind):
    """The heads, shapes and names that a real one would refuse; tied tensors are known without addresses."""
    weights = _weights(_trained(kind))
    with torch.device("meta"):
        model, fewer = shaped_model(kind), shaped_model(kind, heads=2, head_size=8)
        wider = shaped_model(kind, width=24, head_size=6)
    assert list(own_tensors(model)) == list(own_tensors(shaped_model(kind)))
    maps = load_start(model, weights, run_config(kind, "vl"))
    assert maps == {site: [[0], [1], [2], [3]] for site in SITES[kind]}
    assert all(tensor.is_meta for tensor in own_tensors(model).values())
    for other, reason in ((fewer, "4 heads at .*, 2 in the model"), (wider, r"\(.*16.*\) there, \(.*24.*\)")):
        with pytest.raises(UserError, match=reason):
            load_start(other, weights, run_config(kind, "vl"))
    name = next(iter(weights.tensors))
    with pytest.raises(UserError, match=f"missing {name}; unexpected nothing"):
        load_start(model, _without(weights, name), run_config(kind, "vl"))


def test_a_projection_with_one_axis_is_refused():
    weights = _weights(_trained("vlt5"))
    name = "encoder.block.1.layer.0.SelfAttention.o.weight"
    for cut in ("none", "inherit", "remap"):
        flat = Weights({**weights.tensors, name: torch.ones(16)}, weights.heads, "there")
        with pytest.raises(UserError, match=rf"{name} is \(16,\) there, \(16, 16\) in the model"):
            load_start(
                shaped_model("vlt5"),
                flat,
                run_config("vlt5", "vl", start=INHERIT.model_copy(update={"cut": cut})),
            )


def test_positions_of_other_texts_and_of_larger_images():
    trained = _trained("blip-vqa")
    model = shaped_model("blip-vqa", positions=30, size=32)
    load_start(model, _weights(trained), run_config("blip-vqa", "vl"))
    table = "text_encoder.embeddings.position_embeddings.weight"
    assert torch.equal(own_tensors(model)[table][:24], own_tensors(trained)[table])
    grid = "vision_model.embeddings.position_embedding"
    assert own_tensors(model)[grid].shape == (1, 1 + 16, 16)
    assert torch.equal(own_tensors(model)[grid][:, 0], own_tensors(trained)[grid][:, 0])
    # bicubic interpolation keeps the mean of a 2 x 2 grid
    means = [own_tensors(one)[grid][:, 1:].mean(1) for one in (model, trained)]
    torch.testing.assert_close(means[0], means[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("condition", ["text", "vl"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_pretraining_starts_every_task(kind, condition, tmp_path, monkeypatch):
    """From what it saved, through the run's folder, into a model of other heads."""
    monkeypatch.chdir(tmp_path)
    family = kind.partition("-")[0]
    pretrainer = built(run_config(family, condition, pretrains=True, seed=3))
    for parameter in pretrainer.parameters():
        parameter.data += 0.5
    folder = tmp_path / "results" / "runs" / "pretrained"
    folder.mkdir(parents=True)
    save_tensors(
        pretrainer.task_weights(),
        folder / "model.safetensors",
        head_partition(pretrainer),
        settings_of(pretrainer),
    )
    start = Start(cut="inherit", inherit_heads="spread", run_id="pretrained")
    config = run_config(kind, condition, start=start)
    weights = read_start(config)
    model = shaped_model(kind, heads=2, head_size=8)
    maps = load_start(model, weights, config)
    sites = [site for site in SITES[kind] if site in head_partition(pretrainer)]
    assert maps == {site: [[0], [2]] for site in sites}
    stack = (
        "decoder.block.0.layer.2.layer_norm"
        if family == "vlt5"
        else ("text_decoder.bert.encoder.layer.0.output.LayerNorm")
    )
    assert torch.equal(own_tensors(model)[f"{stack}.weight"], torch.full((16,), 1.5))
    assert json.loads(json.dumps(maps)) == maps


def _t5_folder(folder):
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    torch.manual_seed(5)
    model = T5ForConditionalGeneration(config)
    model.save_pretrained(folder)
    return model


def test_a_t5_folder_below_amad_data_starts_vlt5(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    t5 = _t5_folder(tmp_path / "models" / "tiny-t5")
    start = START.model_copy(update={"checkpoints": ["models/tiny-t5"]})
    config = run_config("vlt5", "text", start=start)
    weights = read_start(config)
    model = shaped_model("vlt5", vocabulary=45)
    load_start(model, weights, run_config("vlt5", "text"))
    own = own_tensors(model)
    for name, tensor in own_tensors(t5).items():
        assert torch.equal(own[name][:40] if name == "shared.weight" else own[name], tensor), name


def test_an_official_file_and_a_blip_folder_start_their_families(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    vlt5 = _trained("vlt5")
    torch.save(
        {f"module.{name}": tensor for name, tensor in vlt5.state_dict().items()}, tmp_path / "Epoch30.pth"
    )
    blip = _trained("blip-vqa")
    BlipForQuestionAnswering.from_pretrained(
        None, config=blip.config, state_dict=blip.state_dict()
    ).save_pretrained(tmp_path / "blip")
    for kind, path, trained in (("vlt5", "Epoch30.pth", vlt5), ("blip-vqa", "blip", blip)):
        config = run_config(kind, "vl", start=START.model_copy(update={"checkpoints": [path]}))
        model = shaped_model(kind)
        load_start(model, read_start(config), config)
        batch = tiny_batch(kind)
        assert torch.equal(model(**batch).logits, trained(**batch).logits)


def test_two_paths_for_vlt5_and_an_absent_run_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="VL-T5 starts from one file or folder; name one"):
        read_start(run_config("vlt5", "text", start=START.model_copy(update={"checkpoints": ["a", "b"]})))
    with pytest.raises(UserError, match=r"results/runs/absent/model.safetensors: no weights can be read"):
        read_start(run_config("vlt5", "text", start=START.model_copy(update={"run_id": "absent"})))
