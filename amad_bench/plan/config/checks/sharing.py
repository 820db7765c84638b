"""Whether blocks can share, or have of their own, what a config says: teachers, generated images."""

from collections.abc import Iterator

from amad_bench.plan.blocks import has_own_images
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.config.schema import Config


def check_sharing(config: Config) -> Iterator[str]:
    """Messages about `scenes_per` without the file's name."""
    if config.scenes_per != "block":
        return
    if not any(has_own_images(config, entry.dataset) for entry in config.tasks):
        able = ", ".join(name for name, dataset in DATASETS.items() if "seed" in dataset.options)
        yield (
            f"scenes_per: block needs a task on generated images ({able}); a real data set is one draw, "
            "which its blocks share: remove it"
        )
    elif config.teacher_per == "sweep":
        yield (
            "scenes_per: block needs teachers that are trained on their block's images; write "
            "teacher_per: block (or replicate)"
        )
