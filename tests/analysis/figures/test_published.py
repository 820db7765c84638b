"""Published scores beside ours."""

import pandas as pd

from amad_bench.analysis.figures.published import NOTHING, draw_published
from tests.analysis.figures.frames import NAN, drawn, marks, names, panels, spans

FACTS = {"dataset": "coco", "metric": "CIDEr", "subset": "all", "pretraining": "4M"}
OURS = {"family": "vlt5", "teacher_heads": 12, "teacher_pretraining": "vl", "n_seeds": 1}
TABLE = pd.DataFrame(
    [
        FACTS
        | {"work": "Cho", "model": "VL-T5", "value": 116.5, "mean": 99.0, "ci_low": 97.0, "ci_high": 101.0}
        | OURS,
        FACTS | {"work": "OSCAR", "model": "OSCAR", "value": 123.7, "family": "", "mean": NAN},
        FACTS
        | {"work": "OSCAR", "model": "OSCAR", "value": 30.0, "family": "", "mean": NAN, "metric": "SPICE"},
    ]
)


def test_theirs_and_ours_stand_in_one_panel():
    cider, spice = panels(drawn(draw_published, TABLE))
    assert names(cider) == ["OSCAR", "VL-T5, Cho", "here: VL-T5, 12 heads, vl"]
    assert marks(cider) == [(123.7, 0.0), (116.5, 1.0), (99.0, 2.0)]
    assert ((97.0, 2.0), (101.0, 2.0)) in spans(cider)
    assert cider.get_xlabel().endswith("n = 1 run")
    assert names(spice) == ["OSCAR"]
    assert spice.get_xlabel().endswith("n = 0 runs here")
    assert cider.get_title(loc="left") == "a  COCO · CIDEr"


def test_data_that_nobody_published_on():
    assert draw_published(TABLE.head(0)).nothing == NOTHING


def test_models_of_one_name_are_told_apart_by_their_pretraining():
    rows = [
        {"work": "BLIP (Li 2022)", "model": "BLIP ViT-B", "value": value, "pretraining": images}
        for value, images in ((129.7, "14M"), (131.4, "129M"))
    ]
    rows.append({"work": "BLIP (Li 2022)", "model": "BLIP ViT-B CapFilt-L", "value": 133.3})
    table = pd.DataFrame([FACTS | {"family": "", "mean": NAN, "n_seeds": NAN} | row for row in rows])
    (cider,) = panels(drawn(draw_published, table))
    assert names(cider) == ["BLIP ViT-B CapFilt-L", "BLIP ViT-B, 129M", "BLIP ViT-B, 14M"]
    low, high = cider.get_xlim()  # no mark is cut by the frame
    assert low < 129.7 - 0.1
    assert high > 133.3 + 0.1
