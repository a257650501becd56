"""What the files of a work directory hold: the types that `checked_json` checks files against when they are read.

Every key that the code reads is named here, so nothing behind the reading asks again whether a value has its type. Keys
that are not named are allowed, because later versions write more. `Required` keys must be there; the others may be
missing, because earlier versions wrote fewer. A number that is not finite is null in a file.
"""

from typing import Annotated, Any, Literal, Required, TypedDict

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Times = Annotated[float, Meta(gt=1, le=1e6)]
Text = Annotated[str, Meta(min_length=1)]
Metrics = dict[str, dict[str, float | None]]  # network -> metric -> number
Anything = dict[str, Any]


class Evaluated(TypedDict, total=False):
    """Numbers after the last step, or at the best evaluation."""

    step: Required[Count]
    epoch: float
    train: Metrics
    valid: Metrics
    test: Metrics


class HistoryRow(TypedDict, total=False):
    """A row of `metrics.jsonl`, and of the `history` of a result."""

    step: Required[Count]
    epoch: float
    seconds: float
    terms: dict[str, float | None]
    numbers: Anything
    valid: Metrics
    test: Metrics


class Stated(TypedDict):
    """What a result states about a metric."""

    unit: str
    better: Literal['lower', 'higher'] | None


class Hardware(TypedDict, total=False):
    processor: str | None
    cores: int | None
    backend: str | None
    devices: int | None
    kind: str | None


class WrittenSamples(TypedDict, total=False):
    """Texts that a decoder wrote after prompts, and the tokens that it reads and writes a second."""

    network: str
    prompts: Required[list[str]]
    texts: Required[list[str]]
    chat: str
    read: Count
    wrote: Count
    reading: float | None
    writing: float | None
    parameters: Count
    megabytes: float


class ResultFile(TypedDict, total=False):
    """A file of `results/`."""

    study: Required[str]
    run: Required[Text]
    seed: Required[int]
    config: Required[Anything]
    steps: Required[Count]
    seconds: Required[float]
    last: Required[Evaluated]
    best: Required[Evaluated | None]
    history: list[HistoryRow]
    metrics: dict[str, dict[str, Stated]]
    best_by: dict[str, str]
    analysis_units: dict[str, dict[str, str]]
    analyses: Anything
    samples: WrittenSamples | None
    parameters: dict[str, Count]
    epochs: float
    arrays: dict[str, list[str | int]]
    examples: dict[str, Count]
    data_checksum: str
    weight_checksums: dict[str, str]  # network -> that of the file or directory that it starts from
    oversampling: float
    grouped: list[Anything]
    stopped: Anything | None
    commit: str | None
    dirty: bool | None
    command: str | None
    hardware: Hardware | None
    versions: dict[str, str | None] | None
    finished: str | None
    checksum: str


class SoftTarget(TypedDict, total=False):
    """An example of the analysis `soft_targets`."""

    label: Required[int]
    image: Required[Annotated[list[Annotated[list[float], Meta(min_length=1)]], Meta(min_length=1)]]
    teacher: Required[list[Annotated[list[float | None], Meta(min_length=1)]]]
    why: str


class SoftTargets(TypedDict, total=False):
    """What the analysis `soft_targets` gives, which a figure draws."""

    temperatures: Required[list[float]]
    examples: Required[Annotated[list[SoftTarget], Meta(min_length=1)]]


class RowOptions(TypedDict, total=False):
    label: str
    run: str
    columns: dict[str, str | None] | None
    paper: dict[str, float | None] | None


class TableOptions(TypedDict, total=False):
    title: str
    text: str
    columns: dict[str, str]
    rows: dict[str, RowOptions]
    teachers: list[str]
    baseline: Any  # `check_report` says what these two may be
    compare: Any


class Condition(TypedDict):
    value: str
    above: str
    otherwise: str


class ClaimOptions(TypedDict, total=False):
    kind: str
    title: str
    caption: str
    value: str
    low: str
    high: str
    runs: str | list[str]
    x: str
    y: str
    times: Times
    paper: float | str | None
    rule: dict[str, float] | None
    provided: Condition
    regime: str
    own: bool
    why: str
    evidence: dict[str, str] | None


class FigureOptions(TypedDict, total=False):
    kind: str
    title: str
    caption: str
    xlabel: str
    ylabel: str
    runs: str | list[str] | dict[str, Any]
    run: str
    analysis: str
    x: str | dict[str, float]
    y: str
    beside: str
    by: str
    by_label: str
    log_x: bool
    per_epoch: Annotated[float, Meta(gt=0, le=1e18)]
    times: Times
    log_y: bool
    label: str
    reference: dict[str, str] | None
    values: dict[str, str]
    groups: dict[str, str] | None
    named: list[str]
    claims: dict[str, str]


class ChoiceOptions(TypedDict, total=False):
    runs: Required[str | list[str]]
    by: Required[str]


class ReportSection(TypedDict, total=False):
    """The section `report` of a study; `check_report` knows which keys each kind of figure and claim needs."""

    tables: dict[str, TableOptions] | None
    claims: dict[str, ClaimOptions] | None
    figures: dict[str, FigureOptions] | None
    chosen: dict[str, ChoiceOptions] | None
    lead: Any  # `check_report` says what it may be


class StudyFile(TypedDict, total=False):
    """`study.json`; the report section has its own check, because a config has it, too."""

    name: Required[Text]
    title: str | None
    text: str | None
    variant: str | None
    command: str | None
    report: Anything | None
    runs: Annotated[dict[Text, Anything], Meta(min_length=1)]
    seeds: Annotated[int, Meta(ge=1)]
    data_checksums: dict[str, str]  # run -> that of its data, '' if unknown
    checksum: str


class Manifest(TypedDict, total=False):
    """`manifest.json` of a cache of recorded outputs."""

    done: Required[Count]
    parts: Required[Count]
    fingerprint: Required[Anything]
    checksum: str


class Position(TypedDict, total=False):
    """What a checkpoint stores beside its arrays: the position of the training loop, and a checksum of each array."""

    step: Required[Count]
    arrays: Required[dict[str, str]]


class Newest(TypedDict, total=False):
    """`newest.json` beside checkpoints: the step of the newest one."""

    step: Required[Count]
    checksum: str
