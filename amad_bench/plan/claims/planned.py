"""The students of a plan as claims select them."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping

from amad_bench.plan.claims.cells import Runs, Value
from amad_bench.plan.claims.schema import BLOCK_AXES
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import SHARED, Run
from amad_bench.plan.run_config import head_pair

_Place = tuple[tuple[str, Value], ...]


def planned_runs(plan: Plan) -> list[Runs]:
    """The runs of each loss in each setting, in plan order.

    A student that several settings share stands in each of them: no teacher's pre-training matters to it, or
    the budgets are one. Assistants that a block of other heads has for itself are compared with nobody.
    """
    run_ids: dict[_Place, dict[int, str]] = defaultdict(dict)
    shared: dict[_Place, set[Hashable]] = defaultdict(set)
    taught_after = _conditions(plan)
    for run in plan.runs:
        if run.kind != "student" or not _compared(run):
            continue
        for place in _places(run, taught_after):
            run_ids[place][run.config.replicate] = run.id
            shared[place] |= _drawn(run)
    return [Runs(dict(where), _block(where), ids, frozenset(shared[where])) for where, ids in run_ids.items()]


def _drawn(run: Run) -> set[Hashable]:
    """All that a run is drawn from but photos of real data: whether they matter only results can tell."""
    dataset = run.config.dataset
    found: set[Hashable] = {("data order", run.config.seeds.data_order)}
    if run.teacher_id is not None:
        found.add(("teacher", run.teacher_id))
    if dataset.record.generated:
        found.add(("images", dataset.name, dataset.options["seed"]))
    return found


def _compared(run: Run) -> bool:
    config = run.config
    own = config.teacher and head_pair(config.teacher.heads, config.model.heads, run.student_name)
    return config.block is None or config.block.pair == own


def _conditions(plan: Plan) -> Mapping[tuple[Value, ...], dict[str, None]]:
    """Pre-training conditions of the teachers, by family, task, data set and heads; ordered."""
    found: dict[tuple[Value, ...], dict[str, None]] = defaultdict(dict)
    for run in plan.runs:
        if run.kind == "teacher":
            where = (run.config.family, run.config.task, run.config.dataset.name, run.config.model.heads)
            found[where][run.config.pretraining] = None
    return found


def _places(run: Run, taught_after: Mapping[tuple[Value, ...], dict[str, None]]) -> Iterator[_Place]:
    config, heads = run.config, run.config.teacher and run.config.teacher.heads
    where = (config.family, config.task, config.dataset.name, heads)
    known = (
        [config.teacher_pretraining]
        if config.teacher_pretraining
        else [*taught_after.get(where, {None: None})]
    )
    for condition in known:
        for budget in run.budget.split(SHARED):
            yield (
                ("family", config.family),
                ("task", config.task),
                ("dataset", config.dataset.name),
                ("teacher_heads", heads),
                ("student_heads", config.model.heads),
                ("student", run.student_name),
                ("teacher_pretraining", condition),
                ("pretraining", config.pretraining),
                ("budget", budget),
                ("loss", config.loss.label),
            )


def _block(place: _Place) -> tuple[Value, ...]:
    return tuple(value for axis, value in place if axis in BLOCK_AXES)
