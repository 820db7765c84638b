"""A family of models as far as plan and data must know it; the records are in `families.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from amad_bench.plan.catalogue.costs import PassCost, PassShape
from amad_bench.plan.catalogue.options import OptionSpec, WithOptions


@dataclass(frozen=True)
class FamilyTask:
    """A task as a family's models have it.

    sites: where attention maps can be compared. prompt: the text that is read; {} is the question or the
    sentence, {language} what is translated into. continued: the target continues that text, without an EOS
    between them. with_start: that text begins with a start token. draws_answers: one of a question's answers
    is taught, drawn each time by its score. ranks: it can choose among given answers instead of writing.
    """

    sites: tuple[str, ...]
    prompt: str
    continued: bool = False
    with_start: bool = False
    draws_answers: bool = False
    ranks: bool = False


@dataclass(frozen=True)
class Need:
    """A value that `models.<family>` of a config must have, and why.

    key: an option of the family or, "inputs.<key>", one of the inputs.
    """

    key: str
    value: bool | str
    why: str


@dataclass(frozen=True)
class FamilyPretraining(WithOptions):
    """Way in which a family's models reach a pre-training condition.

    parts: instances of an epoch in the order of their numbers, by kind: each "captions", "questions" or
    "phrases" (images with named regions) makes one. prefixes: by kind, what a source begins with; verdicts:
    further texts that it writes, such as true and false. contrasts: a batch must have two images. options:
    of `pretraining.training.<family>.<condition>`, beside those of any training. here, elsewhere: what it
    needs where it is trained here, and where weights come from files.
    """

    parts: Mapping[str, str]
    prefixes: Mapping[str, str] = field(default_factory=dict[str, str])
    verdicts: tuple[str, ...] = ()
    contrasts: bool = False
    options: Mapping[str, OptionSpec] = field(default_factory=dict[str, OptionSpec])
    here: tuple[Need, ...] = ()
    elsewhere: tuple[Need, ...] = ()

    @property
    def grounded(self) -> bool:
        """True where it is trained on what is in an image's boxes."""
        return "phrases" in self.parts.values()


@dataclass(frozen=True)
class FamilyTokens:
    """Names of a family's tokens that stand for no text.

    sentinels: for masked spans, which T5's tokenizer has and one that is trained here for pre-training gets.
    regions: for regions by number, behind all others. starts: what begins a text to write and one to read,
    behind a pretrained vocabulary; one that is trained here has one start for both. mask: of a vocabulary
    that is trained here for pre-training; a pretrained one must have its own. wanted_by: the option of
    `models.<family>` that needs the tokens of pre-training without any.
    """

    sentinels: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    starts: tuple[str, str] | None = None
    mask: str | None = None
    wanted_by: str | None = None

    @property
    def own(self) -> tuple[str, ...]:
        """Those that stand behind a pretrained vocabulary: weights of text alone do not know them."""
        return (*self.regions, *(self.starts or ()))

    @property
    def trained(self) -> tuple[str, ...]:
        """Those that stand behind a vocabulary that is trained here and serves pre-training."""
        return (*self.sentinels, *self.regions, *((self.mask,) if self.mask else ()))


@dataclass(frozen=True)
class Family(WithOptions):
    """A family of models, whose code is the folder amad_bench/models/<name>/.

    implementation: the class there that `models.family.implementation_of` finds. inputs: what it can see of
    an image. sides: parts that can have a depth, a width and heads of their own, each with its sites. keeps:
    what can stay when the number of heads changes. options: of `models.<family>`.
    pretraining: by condition. weights_by_task: files of weights are read otherwise for each task. positions:
    of text that a model has at least, with a tokenizer that is trained here and with a pretrained one. cost:
    of a forward pass by its shape; None where it is not written down: no plan says then what its runs cost.
    """

    name: str
    label: str
    implementation: str
    inputs: tuple[str, ...]
    by_task: Mapping[str, FamilyTask]
    keeps: tuple[str, ...]
    pretraining: Mapping[str, FamilyPretraining]
    options: Mapping[str, OptionSpec] = field(default_factory=dict[str, OptionSpec])
    tokens: FamilyTokens = FamilyTokens()
    weights_by_task: bool = False
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    positions: tuple[int, int] = (0, 0)
    cost: Callable[[PassShape], PassCost] | None = None
    version: int = 1

    @property
    def sites(self) -> Mapping[str, tuple[str, ...]]:
        """By task, where attention maps can be compared."""
        return {name: task.sites for name, task in self.by_task.items()}

    @property
    def all_sites(self) -> tuple[str, ...]:
        """The sites of all tasks."""
        return tuple(dict.fromkeys(site for task in self.by_task.values() for site in task.sites))

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.by_task)

    def side_of(self, site: str) -> str:
        """The side that a site belongs to; "" in a family without sides."""
        return next((side for side, sites in self.sides.items() if site in sites), "")

    @property
    def grounded(self) -> bool:
        """True where some pre-training is on what is in an image's boxes."""
        return any(pretraining.grounded for pretraining in self.pretraining.values())

    @property
    def pretraining_texts(self) -> tuple[str, ...]:
        """Texts of its pre-training tasks that no data set has."""
        return tuple(
            text
            for pretraining in self.pretraining.values()
            for text in (*pretraining.prefixes.values(), *pretraining.verdicts)
        )
