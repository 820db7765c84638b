"""Operations that a loss of attention adds to a training, for each example of each batch."""

from typing import cast

from amad_bench.plan.catalogue import FAMILIES, LOSSES
from amad_bench.plan.catalogue.loss_costs import BOTH_WAYS, Compared, inner_width
from amad_bench.plan.cost.data_facts import DataFacts
from amad_bench.plan.run_config import Model, RunConfig
from amad_bench.plan.teacher_outputs import Tokens, layers_read, lengths, maps_are_stored


def tokens_of(config: RunConfig, facts: DataFacts) -> Tokens:
    """Numbers of tokens of an example of these data."""
    source, vision = facts.source + (config.inputs.regions or 0), config.inputs.tokens or 0
    return Tokens(source, facts.target, vision, facts.vocabulary)


def loss_cost(config: RunConfig, teacher: Model, facts: DataFacts, stored: bool) -> int:
    """Operations of an example, forward and backward; 0 for a loss of logits.

    teacher: the model that teaches. stored: its outputs are, so that maps that are among them need no scores.
    Decoders that go on from a text that they are given, as BLIP's captions do, count without it.
    """
    used, record, tokens = config.loss, LOSSES[config.loss.name], tokens_of(config, facts)
    total, counted = 0, set[str]()
    for site in used.sites:
        queries, keys = lengths(site, tokens)
        side = FAMILIES[config.family].side_of(site)
        of_teacher, of_student = teacher.side(side), config.model.side(side)
        looked_at = min(queries, cast(int, used.options.get("query_rows")) or queries)
        compared = Compared(of_teacher, of_student, looked_at, keys)
        read = layers_read(used, of_teacher.layers, of_student.layers)
        if record.scored:
            scores = 2 * compared.queries * keys
            total += read.student * BOTH_WAYS * scores * inner_width(of_student)
            if not (stored and "probs" in record.reads and maps_are_stored(of_teacher, queries, keys)):
                total += read.teacher * scores * inner_width(of_teacher)
        stack = site.partition(".")[0]
        if "hidden" not in record.reads or stack not in counted:  # several sites of a stack are one
            total += read.pairs * record.products(compared, used.options)
        counted.add(stack)
    return total
