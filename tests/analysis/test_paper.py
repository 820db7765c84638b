"""The paper compiles from a results folder, offline, and every number in it comes from there."""

import json
import re
import socket
from decimal import ROUND_HALF_UP, Decimal

import matplotlib
import pandas as pd
import pytest
import typst

from amad_bench.analysis.collect import collect
from amad_bench.analysis.figures.drawing import STYLE
from amad_bench.analysis.figures.files import write_drawing, write_shown
from amad_bench.analysis.figures.head_gap import draw_head_gap
from amad_bench.analysis.figures.learning_curves import draw_learning_curves
from amad_bench.analysis.figures.losses import draw_losses
from amad_bench.analysis.figures.sheet import Drawing
from amad_bench.analysis.learning_curves import steps_to_score
from amad_bench.analysis.paper import paper
from amad_bench.analysis.tables.comparisons import comparisons_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.plan.catalogue import METRICS
from amad_bench.plan.plan import Plan, Skip
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_table
from tests.analysis.conftest import SIZE
from tests.first_metric import first_metric
from tests.planned import planned_dataset


def publish(plan, runs_folder, out):
    tables = collect(plan, runs_folder)
    results = results_table(tables)
    for name, frame in {
        "runs": tables.runs,
        "failures": tables.failures,
        "results": results,
        "comparisons": comparisons_table(tables),
        "headroom": headroom_table(tables),
        "steps_to_score": steps_to_score(tables.runs, tables.learning_curves),
    }.items():
        write_table(frame, out / "tables" / name)
    figures(results, out / "figures", draw_learning_curves(tables.runs, tables.learning_curves))
    return results


def figures(results, folder, curves):
    """Those that the paper shows."""
    with matplotlib.rc_context(STYLE):
        drawings = {
            "losses": draw_losses(results),
            "head_gap": draw_head_gap(results),
            "learning_curves": curves,
        }
        shown = {name: write_drawing(drawing, folder / name)[0] for name, drawing in drawings.items()}
    write_shown(shown, folder / "figures.json")


@pytest.fixture
def source(repository):
    return repository / "paper" / "main.typ"


def test_compiles_offline_to_equal_bytes(fake_results, tmp_path, source, monkeypatch):
    publish(*fake_results, tmp_path)

    def refuse(*_, **__):
        raise AssertionError("the paper asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    made = paper(tmp_path, source, tmp_path / "paper" / "main.pdf")
    assert made.read_bytes().startswith(b"%PDF")
    again = paper(tmp_path, source, tmp_path / "again.pdf")
    assert made.read_bytes() == again.read_bytes()
    assert sorted(path.name for path in made.parent.iterdir()) == ["main.pdf"]


def test_other_results_give_another_paper(fake, fake_results, tmp_path, source):
    publish(*fake_results, tmp_path / "full")
    publish(fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",)), tmp_path / "empty", tmp_path / "empty")
    full = paper(tmp_path / "full", source, tmp_path / "full.pdf")
    empty = paper(tmp_path / "empty", source, tmp_path / "empty.pdf")  # all runs missing, nothing compared
    assert full.read_bytes() != empty.read_bytes()


def test_a_missing_template_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no\.typ: no such file; give the repository.*--template"):
        paper(tmp_path, tmp_path / "no.typ", tmp_path / "main.pdf")


def test_a_missing_table_is_named(tmp_path, source):
    with pytest.raises(UserError, match=r"figures\.json: no such file; run `amad-bench figures` first"):
        paper(tmp_path, source, tmp_path / "main.pdf")
    assert not (tmp_path / "main.pdf").exists()


@pytest.fixture
def asked(monkeypatch):
    """The options that the paper was compiled with."""
    options = {}
    compile_pdf = typst.compile

    def spy(path, **given):
        options.update(given)
        return compile_pdf(path, **given)

    monkeypatch.setattr("amad_bench.analysis.paper.typst.compile", spy)
    return options


def test_facts_about_skips_signatures_and_commits(fake, tmp_path, source, asked):
    plan = fake.plan(tasks=(("vlt5", "translation"),), losses=("ce", "amad_kl"))
    for run in plan.runs[:-1]:
        folder = fake.write(tmp_path, run)
        signatures = {"BLEU": "nrefs:1|tok:13a", "TER": "nrefs:1|case:lc"}
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps(status | {"signatures": signatures}))
        made = json.loads((folder / "run.json").read_text())
        made["provenance"]["dirty"] = run.kind == "teacher"
        (folder / "run.json").write_text(json.dumps(made))
    skipped = [Skip(name, "a reason", "vlt5", "translation", "scenes") for name in ("setting-a", "setting-b")]
    publish(Plan(plan.runs, skipped), tmp_path, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    facts = json.loads(asked["sys_inputs"]["facts"])
    assert (facts["failed"], facts["skipped"], facts["planned"]) == (1, 2, 5)
    assert facts["signatures"] == ["BLEU|nrefs:1|tok:13a"]
    assert facts["commits"] == [{"commit": "a" * 40, "dirty": dirty} for dirty in (False, True)]


def test_the_tables_hold_the_numbers_of_the_results(fake_results, tmp_path, source, asked):
    results = publish(*fake_results, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    asked.pop("format")
    document = typst.query(source, "figure", **asked)
    texts = {item["text"] for item in nested(json.loads(document)) if isinstance(item.get("text"), str)}
    primary = results[results["primary"]]
    assert printed(primary["mean"]) <= texts
    assert printed(primary["ci_low"]) <= texts
    assert not printed(results.query("metric == 'TER'")["mean"]) <= texts
    assert {"amad_kl", "teacher", "no data limit", "raw patches of regions", "none", "inconclusive"} <= texts


@pytest.mark.parametrize("metric", ["BLEU", "TER"])
def test_a_table_in_which_less_is_better_says_so(fake, tmp_path, source, asked, metric):
    with first_metric(METRICS[metric]):
        plan = fake.plan(tasks=(("vlt5", "translation"),), losses=("ce", "amad_kl"))
        for run in plan.runs:
            fake.write(tmp_path, run)
        publish(plan, tmp_path, tmp_path)
        paper(tmp_path, source, tmp_path / "main.pdf")
    asked.pop("format")
    texts = " ".join(texts_of(json.loads(typst.query(source, "figure", **asked))))
    assert f"{metric} in points" in texts
    assert ("(less is better)" in texts) == (metric == "TER")


def test_a_part_of_the_official_files_cannot_pass_for_all(fake, tmp_path, source, asked):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), seeds=1)
    dataset = planned_dataset("vqa_v2", subset=True)  # its files are not here
    scenes = plan.runs[0].config.dataset
    runs = [
        fake.vary(run, dataset=scenes.model_copy(update={"options": dataset.options})) for run in plan.runs
    ]
    for run in runs:
        fake.write(tmp_path, run)
    publish(Plan(runs), tmp_path, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    asked.pop("format")
    for table in ("results", "comparisons"):
        document = json.loads(typst.query(source, f"<{table}>", **asked))
        texts = [item["text"] for item in nested(document) if isinstance(item.get("text"), str)]
        assert texts.count("a part of the official files") == 1
        assert "no data limit" not in texts


def test_shared_images_and_warnings_cannot_go_unmentioned(fake, tmp_path, source, asked):
    plan = fake.plan(tasks=(("vlt5", "captioning"), ("blip", "vqa")), losses=("ce", "amad_kl"), seeds=1)
    for run in plan.runs:
        shared = {"train/test": 1409, "train/validation": 3} if "captioning" in run.id else {}
        path = fake.write(tmp_path, run, data={"image_overlap": shared, "features": "few"}) / "scores.parquet"
        own = pd.read_parquet(path)
        own[own["example_id"] < "e0020"].to_parquet(path, index=False)
    results = publish(plan, tmp_path, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    facts = json.loads(asked["sys_inputs"]["facts"])
    scenes = {"dataset": "Scenes", "task": "Captioning"}
    assert facts["overlaps"] == [
        scenes | {"splits": "train/test", "images": "1,409"},
        scenes | {"splits": "train/validation", "images": "3"},
    ]
    asked.pop("format")
    (warned,) = set(results["warning"]) - {""}
    sentences = typst.query(source, "strong", **asked)
    assert "1,409" in sentences
    for table in ("results", "comparisons"):
        document = json.loads(typst.query(source, f"<{table}>", **asked))
        texts = [item["text"] for item in nested(document) if isinstance(item.get("text"), str)]
        assert texts.count("train/test 1409; train/validation 3") == 1
        assert texts.count("none") == 1 + 4  # the other setting's images, and all pre-training
        assert texts.count("few") == 2
        assert texts.count(warned) == 1


def test_learning_curves_and_steps_of_several_conditions(fake, tmp_path, source, asked):
    changes = {"pretraining.student": ["vl"], "models.vlt5.student.cut": "inherit"}
    plan = fake.join(
        fake.plan(tasks=(("vlt5", "vqa"),), seeds=1),
        fake.plan(tasks=(("vlt5", "vqa"),), seeds=1, losses=("ce",), changes=changes),
    )
    for run in plan.runs:
        best = 0.4321 if run.config.start else 0.5678
        overlap = {"train/test": 12} if run.kind == "pretrain" else {}
        folder = fake.write(tmp_path, run, data={"image_overlap": overlap})
        fake.steps(folder, {500: 0.1234, 1000: best})
    publish(plan, tmp_path, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    facts = json.loads(asked["sys_inputs"]["facts"])
    assert (facts["pretrainings"], facts["teachers"], facts["students"]) == (1, 1, 6)
    assert [overlap["task"] for overlap in facts["overlaps"]] == ["Pre-training"]
    asked.pop("format")
    assert len(json.loads(typst.query(source, "<learning-curves>", **asked))) == 1
    texts = [
        item["text"]
        for item in nested(json.loads(typst.query(source, "<steps>", **asked)))
        if isinstance(item.get("text"), str)
    ]
    assert [text for text in texts if text[:2] == "0."] == ["0.568", "0.568", "0.432"]
    assert [text for text in texts if text in ("1000", "–", "never")] == ["–", "1000", "never"]  # –: not cut
    assert {"none", "vl", "inherit first", "2 × 48"} <= set(texts)
    assert "random" not in texts
    found = json.loads(typst.query(source, "<results>", **asked))
    assert sum(item.get("text") == "inherit first" for item in nested(found)) == 1


def test_all_pages_of_a_figure_are_in_the_paper(fake_results, tmp_path, source, asked):
    results = publish(*fake_results, tmp_path)
    many = pd.concat([results.assign(student_heads=heads) for heads in (2, 4, 8)])
    figures(many, tmp_path / "figures", Drawing("nothing", nothing="There is nothing."))
    pdf = paper(tmp_path, source, tmp_path / "main.pdf")
    pages = {"losses": 2, "head_gap": 1, "learning_curves": 0}  # 15 and 5 panels
    assert json.loads(asked["sys_inputs"]["facts"])["pages"] == pages
    asked.pop("format")
    found = json.loads(typst.query(source, "<losses>", **asked))
    captions = [" ".join(texts_of(item["caption"])) for item in found]
    assert [caption.split("Page")[1].split()[:4] for caption in captions] == [
        [str(page), "of", "2", "."] for page in (1, 2)
    ]
    images = json.loads(typst.query(source, "image", **asked))
    shown = [(image["source"].rsplit("/", 1)[1], image["page"]) for image in images]
    assert shown == [("losses.pdf", 1), ("losses.pdf", 2), ("head_gap.pdf", 1)]
    assert pdf.read_bytes() == paper(tmp_path, source, tmp_path / "again.pdf").read_bytes()


def test_a_missing_figure_is_named(fake_results, tmp_path, source):
    publish(*fake_results, tmp_path)
    (tmp_path / "figures" / "losses.pdf").unlink()
    with pytest.raises(UserError, match=r"losses\.pdf: missing.*amad-bench figures"):
        paper(tmp_path, source, tmp_path / "main.pdf")


def test_tasks_may_have_replicates_of_their_own(fake, tmp_path, source, asked):
    plan = fake.join(
        fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), seeds=3),
        fake.plan(tasks=(("blip", "vqa"),), losses=("ce", "amad_kl"), seeds=2),
    )
    for run in plan.runs:
        fake.write(tmp_path, run)
    publish(plan, tmp_path, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    assert json.loads(asked["sys_inputs"]["facts"])["replicates"] == [2, 3]


def test_students_of_several_sizes_are_named(fake, tmp_path, source, asked):
    sizes = {"x": SIZE, "y": SIZE | {"dropout": 0.1}}
    changes = {"models.vlt5.student": None, "models.vlt5.students": sizes}
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), seeds=1, changes=changes)
    for run in plan.runs:
        fake.write(tmp_path, run)
    publish(plan, tmp_path, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    asked.pop("format")
    for table in ("results", "comparisons"):
        texts = texts_of(json.loads(typst.query(source, f"<{table}>", **asked)))
        assert [text for text in texts if text in ("x", "y")] == ["x", "y"]


def test_one_condition_has_no_section_about_pre_training(fake_results, tmp_path, source, asked):
    publish(*fake_results, tmp_path)
    paper(tmp_path, source, tmp_path / "main.pdf")
    asked.pop("format")
    assert "Pre-training" not in typst.query(source, "heading", **asked)
    assert json.loads(typst.query(source, "<steps>", **asked)) == []


def printed(numbers):
    """With one decimal and a real minus; halves go up, as Typst rounds."""
    rounded = (Decimal(str(number)).quantize(Decimal("0.1"), ROUND_HALF_UP) for number in numbers)
    return {str(number).replace("-", "−") for number in rounded}


def texts_of(value):
    """All texts in a JSON value."""
    return [item["text"] for item in nested(value) if isinstance(item.get("text"), str)]


def nested(value):
    """All objects in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from nested(item)


def test_no_number_is_typed(source):
    """In the text, digits stand for lengths and in conditions only."""
    _, text = source.read_text().split("------ text\n")
    code = r"\d+(\.\d+)?(pt|fr|%)|(==|>) \d"
    assert not re.findall(r"\d", re.sub(code, "", text))
