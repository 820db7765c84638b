"""What is read off the results."""

from amad_bench.plan.standing import standing
from amad_bench.runtime.locks import exclusive
from amad_bench.view.facts import Counts, facts
from tests.run_folders import begin_run, end_run
from tests.view.conftest import live

TASK = "vlt5 vqa scenes"


def look(plan, results, **more):
    return facts(plan, results, standing(plan, results), now=1000.0, **more)


def test_nothing_has_begun(plan, results) -> None:
    found = look(plan, results)
    assert found.counts == {
        (TASK, "teacher"): Counts(planned=1),
        (TASK, "ce"): Counts(planned=2),
        (TASK, "amad_kl"): Counts(planned=2),
    }
    assert (found.running, found.failures, found.interrupted, found.seconds_left) == ((), {}, 0, None)


def test_each_run_counts_once(plan, results) -> None:
    teacher, *students = plan.runs
    of = {}
    for run in students:
        of.setdefault(run.config.loss.label, []).append(run)
    end_run(teacher, results, wall_seconds=600.0)
    end_run(of["ce"][0], results, wall_seconds=60.0)
    end_run(of["ce"][1], results, "diverged", wall_seconds=5.0)
    begin_run(of["amad_kl"][0], results)
    folder = begin_run(of["amad_kl"][1], results)
    live().write(folder.live)
    with exclusive(folder.path):
        found = look(plan, results)
    assert found.counts == {
        (TASK, "teacher"): Counts(planned=1, done=1),
        (TASK, "ce"): Counts(planned=2, done=1, failed=1),
        (TASK, "amad_kl"): Counts(planned=2, running=1),
    }
    assert found.total.left == 1
    assert found.failures == {"diverged": 1}
    assert found.interrupted == 1
    assert [(one.id, one.live) for one in found.running] == [(of["amad_kl"][1].id, live())]
    assert found.seconds_left == 80.0  # 60 s, as its like took, and 20 s of steps, one after the other


def test_a_process_that_has_not_locked_its_folder_yet(plan, results) -> None:
    run = plan.runs[0]
    live().write(begin_run(run, results).live)  # of a process that was killed
    found = look(plan, results, started=[run.id], at_once=3)
    assert [(one.id, one.live) for one in found.running] == [(run.id, None)]
    assert (found.total.running, found.interrupted, found.at_once) == (1, 0, 3)
