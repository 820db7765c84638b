"""The cost of a run: operations by what they are for, steps, and bytes that stay."""

from dataclasses import dataclass

from amad_bench.plan.catalogue import FAMILIES, METRICS, metrics_of
from amad_bench.plan.catalogue.costs import PassCost, PassShape
from amad_bench.plan.cost.data_facts import DataFacts, data_facts
from amad_bench.plan.cost.loss_cost import loss_cost, tokens_of
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import RunConfig
from amad_bench.plan.teacher_outputs import numbers_read

BACKWARD = 2  # a backward pass is two forward ones: a product for the inputs, one for the weights
_NUMBER = 4  # bytes of a float32
_PREDICTION = 300  # bytes of a record, references included
_SCORE = 20  # of a row, compressed; numbers of a corpus metric that it sums more
_STATISTIC = 3
_LOGGED = 20  # steps between two lines, of about so many bytes:
_LINE = 1_000


@dataclass(frozen=True)
class RunCost:
    """Operations by purpose.

    training: forward and backward passes of the model and of the loss. teacher: its forward passes.
    layer_passes: of one layer for one batch, forward or backward, which bound the time of small models.
    parameters: of the model. files: bytes that stay beside its weights. measured: the data are there, nothing
    is estimated of them.
    """

    training: float
    teacher: float
    validation: float
    predicting: float
    layer_passes: float
    parameters: int
    files: float
    measured: bool

    @property
    def operations(self) -> float:
        return self.training + self.teacher + self.validation + self.predicting

    @property
    def weights(self) -> int:
        return _NUMBER * self.parameters

    @property
    def checkpoint(self) -> int:
        """Bytes of one while it runs: weights, the best ones, and two moments of each."""
        return 4 * self.weights


class Costs:
    """Costs of a plan's runs; None for a run of a family whose record has no `cost`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._facts: dict[tuple[str, str, int], DataFacts] = {}
        # by run, since a key is a hash
        self._key = {run.id: self._stored(run.config) for run in plan.runs}
        self._first: dict[str, str] = {}  # the student that stores the outputs, by their key
        for run_id, key in self._key.items():
            if key is not None:
                self._first.setdefault(key, run_id)
        self._of = {run.id: self._cost(run.id, run.config) for run in plan.runs}

    def facts(self, config: RunConfig) -> DataFacts:
        """Facts of a run's data; runs that share these share them."""
        written = 0 if config.decoding is None else config.decoding.max_length
        key = (config.kind, config.data_key, written)
        if key not in self._facts:
            self._facts[key] = data_facts(config)
        return self._facts[key]

    def of(self, run_id: str) -> RunCost | None:
        """The cost of a run of the plan."""
        return self._of[run_id]

    def _cost(self, run_id: str, config: RunConfig) -> RunCost | None:
        facts, training = self.facts(config), config.training
        if (one := pass_cost(config, facts)) is None:
            return None
        taught, taught_on = self._teacher(config, facts), self._taught_on(run_id, facts)
        compared = 0
        if (teacher := self._taught_by(config)) is not None:
            compared = loss_cost(config, teacher.model, facts, self._key[run_id] is not None)
        examples = facts.examples
        trained = training.batch * training.steps
        validated = training.evaluations * examples["validation"]
        predicted, files, passes = 0.0, _LINE * training.steps / _LOGGED, 0.0
        if config.kind != "pretrain":
            splits = {name: count for name, count in examples.items() if name not in ("train", "validation")}
            decoded = sum(splits.values()) + (splits.get("test", 0) if config.controls else 0)
            predicted = decoded * _answer(config, facts)
            rows = decoded + (splits.get("test", 0) if config.controls else 0)  # of the majority's answer
            files += rows * (_PREDICTION + _score_bytes(config))
            passes = (1 + config.answers.max_length) * decoded / training.batch
        forwards = (1 + BACKWARD) * training.steps + validated / training.batch + passes
        return RunCost(
            training=trained * ((1 + BACKWARD) * (one.read + one.write) + one.frozen + compared),
            teacher=0.0 if taught is None else taught_on * taught.forward,
            validation=validated * one.forward,
            predicting=predicted,
            layer_passes=forwards * one.layers
            + (0.0 if taught is None else taught_on / training.batch * taught.layers),
            parameters=one.parameters,
            files=files,
            measured=facts.measured,
        )

    def _stored(self, config: RunConfig) -> str | None:
        """The key of its teacher's stored outputs; None where the teacher runs for each batch, if any.

        As far as the plan knows: data may have more than one answer to a question where nothing here says so.
        """
        if config.outputs_key is None or draws_answers(config) or self.facts(config).trimmed:
            return None
        return config.outputs_key

    def outputs_bytes(self) -> float:
        """Bytes of all stored outputs of teachers: of a key, what the most demanding of its losses reads."""
        found: dict[str, float] = {}
        for run in self._plan.runs:
            config, taught = run.config, run.config.teacher
            if (key := self._key[run.id]) is None or taught is None or taught.run_id is None:
                continue
            facts = self.facts(config)
            teacher, tokens = self._plan.by_id[taught.run_id].config.model, tokens_of(config, facts)
            read = numbers_read(config.family, config.task, teacher, config.model, config.loss, tokens)
            found[key] = max(found.get(key, 0), _NUMBER * read * examples_read(config, facts))
        return sum(found.values())

    def _taught_on(self, run_id: str, facts: DataFacts) -> int:
        """Examples on which the teacher runs for this student: each once for the first of those who share."""
        config = self._plan.by_id[run_id].config
        key = self._key[run_id]
        if key is None:
            return config.training.batch * config.training.steps
        return examples_read(config, facts) if self._first[key] == run_id else 0

    def _teacher(self, config: RunConfig, facts: DataFacts) -> PassCost | None:
        """A forward pass of the one that teaches; None where nobody does."""
        teacher = self._taught_by(config)
        return None if teacher is None else pass_cost(teacher, facts)

    def _taught_by(self, config: RunConfig) -> RunConfig | None:
        if config.teacher is None or config.teacher.run_id is None:
            return None
        return self._plan.by_id[config.teacher.run_id].config


def draws_answers(config: RunConfig) -> bool:
    """Whether an example's target is drawn anew each time, so that no outputs on it can be stored."""
    dataset, own = config.dataset.record, FAMILIES[config.family].by_task.get(config.task)
    drawn = own is not None and own.draws_answers and dataset.answers == "several"
    return drawn and not dataset.generated


def examples_read(config: RunConfig, facts: DataFacts) -> int:
    """The number of different training examples that a run may see."""
    asked = config.training.examples
    return facts.examples["train"] if asked == "all" else asked


def pass_cost(config: RunConfig, facts: DataFacts, target: int | None = None) -> PassCost | None:
    """The cost of a forward pass of an example; target: tokens that are written instead of the data's."""
    record, inputs = FAMILIES[config.family], config.inputs
    if record.cost is None:
        return None
    return record.cost(
        PassShape(
            model=config.model,
            task=config.task,
            condition=config.pretraining if config.kind == "pretrain" else "",
            source=facts.source,
            target=facts.target if target is None else target,
            vocabulary=facts.vocabulary,
            positions=max(facts.longest, record.positions[config.tokenizer.folder is not None]),
            regions=inputs.regions or 0,
            feature_size=inputs.feature_size or _EXTRACTED,
            patches=inputs.patches or (0, 1),
            batch=config.training.batch,
            options=config.pretraining_options,
        )
    )


_EXTRACTED = 768  # numbers per region of a vision model that is not read: a ViT-B's


def _answer(config: RunConfig, facts: DataFacts) -> float:
    """Operations of an example's answer: as long as it may be, or as those that it is chosen from."""
    answers = config.answers
    if answers.rank is not None:
        chosen = pass_cost(config, facts)
        return 0.0 if chosen is None else chosen.read + answers.rank * chosen.write
    written = pass_cost(config, facts, answers.max_length)
    return 0.0 if written is None else written.read + answers.beams * written.write


def _score_bytes(config: RunConfig) -> float:
    metrics = [METRICS[name] for name in metrics_of(config.task, config.dataset.record)]
    return sum(_SCORE + _STATISTIC * metric.statistics for metric in metrics)
