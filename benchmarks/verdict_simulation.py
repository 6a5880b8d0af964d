"""How often the verdicts are wrong: many synthetic experiments with a known truth.

python benchmarks/verdict_simulation.py [--experiments 2000] [--seed 0] [--json]

Every experiment draws losses per seed and per held-out text, or times per seed, and is judged by
the functions that judge real records. Noise is that of real runs of the default model: losses of
repeated runs scatter by 0.008 to 0.013 nats, full fine-tuning gains about 0.6 nats, and what LoRA
keeps of that differs from text to text by about 0.055 nats a token. The arms of a seed share their
data order, so their losses move together in part.

An error is a verdict on the wrong side of a threshold. Where the truth lies exactly on a threshold
every decision is counted as one: VERIFIED is wrong if the truth is a hair below, PARTIAL if it is a
hair above. By design each kind of error happens in at most 2.5 % of experiments, UNDECIDED is none.
The joint verdict PARTIAL says that no configuration meets all claims and leaves open whether one
fails none, so there it is wrong only where one does meet them.

Truth is about texts like the held-out ones, not about these very texts. The worlds without texts
show what happens where records hold no loss per text, so that only seeds count.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lora_efficiency_benchmark.analysis.claim_verdicts import JudgedClaim, judge_claim
from lora_efficiency_benchmark.analysis.contrasts import Document, Moments, PairedRatio
from lora_efficiency_benchmark.analysis.intervals import LOSS_SD, TIME_RELATIVE_SD
from lora_efficiency_benchmark.analysis.joint import judge_joint
from lora_efficiency_benchmark.analysis.metrics import Measurement
from lora_efficiency_benchmark.analysis.recommend import RECOMMENDED, Candidate, Limits, decide
from lora_efficiency_benchmark.analysis.values import (
    FAILED,
    NOT_MEASURED,
    PARTIAL,
    UNDECIDED,
    VERIFIED,
)
from lora_efficiency_benchmark.analysis.verdicts import judge_configuration
from lora_efficiency_benchmark.config.claims import Claim, load_claims

Array = NDArray[np.float64]

EXPERIMENTS = 2000
CLAIMS = {claim.id: claim for claim in load_claims("paper-r5")}
QUALITY, TIME = CLAIMS["gain-retention"], CLAIMS["training-time"]
PARAMETERS, MEMORY = CLAIMS["parameter-reduction"], CLAIMS["memory-controlled"]

FULL_GAIN, GAIN_SPREAD = 0.6, 0.09  # nats a token; between texts
TOKENS, TOKENS_SPREAD = 150.0, 0.3  # of a text; relative
KEPT_SPREAD = 0.055  # nats a token, between texts: what LoRA does otherwise than full
RUN_SPREAD = 0.02  # nats a token, between texts and seeds
SEED_SD, SHARED = 0.0105, 0.5  # nats; correlation of the arms of a seed
TIME_SD, TIME_SHARED = 0.04, 0.3  # relative

NORMAL = "normal"
HEAVY = "heavy"  # Student t with 3 degrees of freedom, all noise
SKEWED = "skewed"  # between texts exponential: LoRA loses much on few of them


@dataclass(frozen=True)
class World:
    """What is true, and how much of it is measured."""

    truths: tuple[float, ...]  # one a configuration
    seeds: int = 3
    texts: int = 48  # 0: losses without documents
    sizes: int = 1  # data sizes, with the same truths at each
    noise: str = NORMAL
    full_gain: float = FULL_GAIN

    @property
    def name(self) -> str:
        """For the seed of its random numbers: no other world changes what it gives."""
        return str(dataclasses.astuple(self))


class Noise:
    """Random numbers of unit deviation."""

    def __init__(self, rng: np.random.Generator, kind: str) -> None:
        self._rng, self._kind = rng, kind

    def draw(self, *shape: int) -> Array:
        """Independent ones."""
        if self._kind == HEAVY:
            return np.asarray(self._rng.standard_t(3, shape) / np.sqrt(3.0))
        return self._rng.standard_normal(shape)

    def texts(self, count: int) -> Array:
        """What differs from text to text, the same in every run."""
        return 1 - self._rng.exponential(size=count) if self._kind == SKEWED else self.draw(count)

    def pair(self, correlation: float, count: int) -> tuple[Array, Array]:
        """Two that move together."""
        shared = np.sqrt(correlation) * self.draw(count)
        own = np.sqrt(1 - correlation)
        return shared + own * self.draw(count), shared + own * self.draw(count)


class Quality:
    """The gains of one data size: full fine-tuning, and every configuration, on the same texts."""

    def __init__(self, world: World, noise: Noise, tokens: Array) -> None:
        self._noise, self.tokens = noise, tokens
        self._gain = world.full_gain + GAIN_SPREAD * noise.texts(len(tokens))
        self._kept = [t * self._gain + KEPT_SPREAD * noise.texts(len(tokens)) for t in world.truths]
        self.full = np.empty((0, len(tokens)))  # seed, text: nats a token
        self.lora = [self.full for _ in world.truths]
        self.extend(world.seeds)

    def extend(self, seeds: int) -> None:
        """Train until there are that many seeds."""
        more = seeds - len(self.full)
        shared = np.sqrt(SHARED) * self._noise.draw(more, 1)
        self.full = np.vstack([self.full, self._run(self._gain, shared)])
        self.lora = [
            np.vstack([have, self._run(kept, shared)])
            for have, kept in zip(self.lora, self._kept, strict=True)
        ]

    def _run(self, gains: Array, shared: Array) -> Array:
        seeds = len(shared)
        own = shared + np.sqrt(1 - SHARED) * self._noise.draw(seeds, 1)
        return np.asarray(gains + SEED_SD * own + RUN_SPREAD * self._noise.draw(seeds, len(gains)))

    def ratios(self, texts: bool = True) -> list[PairedRatio]:
        """As ``analysis.metrics`` makes them from records."""
        planned = Moments(LOSS_SD**2, 0.0, LOSS_SD**2)
        weights = self.tokens / self.tokens.sum()
        y, per_text = _by_seed(self.full @ weights), self.full.mean(axis=0) * self.tokens
        found = []
        for lora in self.lora:
            rows = zip(
                (lora.mean(axis=0) * self.tokens).tolist(),
                per_text.tolist(),
                self.tokens.tolist(),
                strict=True,
            )
            documents = tuple(Document(*row) for row in rows) if texts else ()
            found.append(PairedRatio(_by_seed(lora @ weights), y, documents, planned))
        return found


def draw_quality(world: World, rng: np.random.Generator) -> list[Quality]:
    """One entry a data size; all are evaluated on the same texts."""
    noise = Noise(rng, world.noise)
    count = world.texts or 48
    tokens = np.exp(TOKENS_SPREAD * rng.standard_normal(count)) * TOKENS
    return [Quality(world, noise, np.ceil(tokens)) for _ in range(world.sizes)]


def draw_times(world: World, rng: np.random.Generator) -> list[PairedRatio]:
    """Seconds of full fine-tuning and of every configuration."""
    noise = Noise(rng, world.noise)
    found = []
    for truth in world.truths:
        full, lora = noise.pair(TIME_SHARED, world.seeds)
        x, y = 60.0 * (1 + TIME_SD * full), 60.0 / truth * (1 + TIME_SD * lora)
        sd = (TIME_RELATIVE_SD * x.mean(), TIME_RELATIVE_SD * y.mean())
        planned = Moments(sd[0] ** 2, 0.0, sd[1] ** 2)
        found.append(PairedRatio(_by_seed(x), _by_seed(y), planned=planned))
    return found


def _by_seed(values: Array) -> dict[int, float]:
    return dict(enumerate(values.tolist()))


# ---- what is asked ------------------------------------------------------------------------------


def measurement(ratio: PairedRatio, index: int = 0, size: int = 1000) -> Measurement:
    """Without a gain of full fine-tuning there is no ratio, as in ``analysis.metrics``."""
    name = f"configuration {index}"
    if ratio.mean_y <= 0:
        return Measurement(name, size)
    return Measurement(name, size, ratio.by_seed, ratio)


def quality_of_one(world: World, rng: np.random.Generator) -> str:
    """The claim on quality, on one configuration."""
    (ratio,) = draw_quality(world, rng)[0].ratios(world.texts > 0)
    return judge_configuration(QUALITY, measurement(ratio)).verification


def time_of_one(world: World, rng: np.random.Generator) -> str:
    """The claim on time, on one configuration."""
    return judge_configuration(TIME, measurement(draw_times(world, rng)[0])).verification


def mean_quality(world: World, rng: np.random.Generator) -> str:
    """The specification's mean over all configurations and sizes."""
    return judge_claim(QUALITY, _quality(world, rng)).verdict.verification


def joint(world: World, rng: np.random.Generator) -> str:
    """Does any configuration meet all claims? Those on counts are met by all."""
    judged = [*_counts(world), judge_claim(QUALITY, _quality(world, rng))]
    return judge_joint(judged, "simulated").verification


def joint_with_time(world: World, rng: np.random.Generator) -> str:
    """The same with a second noisy claim, whose truth lies on its upper threshold."""
    times = draw_times(replace(world, truths=(TIME.verified_at,) * len(world.truths)), rng)
    seconds = [measurement(ratio, i) for i, ratio in enumerate(times)]
    judged = [*_counts(world), judge_claim(QUALITY, _quality(world, rng))]
    judged.append(judge_claim(replace(TIME, joint=True), seconds))
    return judge_joint(judged, "simulated").verification


def recommendation(world: World, rng: np.random.Generator) -> str:
    """What to use, of all configurations and full fine-tuning, which needs the most memory.

    VERIFIED: a configuration that reaches the limit is recommended; PARTIAL: one that does not,
    which is wrong; FAILED: "do not use LoRA".
    """
    ratios = draw_quality(world, rng)[0].ratios(world.texts > 0)
    found = [
        Candidate(f"{i}", measurement(ratio, i), memory_bytes=i + 1)
        for i, ratio in enumerate(ratios)
    ]
    whole = Measurement("full", 1000, values={0: 1.0})
    full = Candidate("full", whole, is_full=True, memory_bytes=len(found) + 1)
    decision = decide([*found, full], Limits(retention=QUALITY.verified_at))
    if decision.verification == UNDECIDED or decision.chosen is None:
        return UNDECIDED
    if decision.verification != RECOMMENDED or decision.chosen.candidate.is_full:
        return FAILED
    truth = world.truths[int(decision.chosen.candidate.name)]
    return VERIFIED if truth >= QUALITY.verified_at else PARTIAL


def _quality(world: World, rng: np.random.Generator) -> list[Measurement]:
    return [
        measurement(ratio, i, 1000 * (size + 1))
        for size, quality in enumerate(draw_quality(world, rng))
        for i, ratio in enumerate(quality.ratios(world.texts > 0))
    ]


def _counts(world: World) -> Iterator[JudgedClaim]:
    for claim in (PARAMETERS, MEMORY):
        names = (f"configuration {i}" for i in range(len(world.truths)))
        yield judge_claim(claim, [Measurement(n, values={0: claim.claimed}) for n in names])


Question = Callable[[World, np.random.Generator], str]
QUESTIONS: dict[str, tuple[Question, Claim]] = {
    "quality": (quality_of_one, QUALITY),
    "time": (time_of_one, TIME),
    "mean quality": (mean_quality, QUALITY),
    "joint": (joint, QUALITY),
    "joint with time": (joint_with_time, QUALITY),
    "recommend": (recommendation, QUALITY),
}
"""By name: what gives a verdict, and the claim whose thresholds it is about."""

QUALITY_TRUTHS = (0.72, 0.79, 0.80, 0.81, 0.875, 0.94, 0.95, 0.96, 1.02)
TIME_TRUTHS = (0.7, 0.79, 0.8, 0.81, 0.9, 0.99, 1.0, 1.01, 1.4)
ALL_ON_UPPER, ALL_ON_LOWER = (0.95,) * 5, (0.80,) * 5
ALL_BELOW, ALL_GOOD = (0.94,) * 5, (1.02,) * 5
ONE_GOOD = (0.85, 0.85, 0.85, 0.85, 1.05)
SEEDS = (3, 5, 10)


def worlds() -> Iterator[tuple[str, World]]:
    """Every question with every world it is asked in."""
    for noise in (NORMAL, HEAVY):
        for texts in (48, 200):
            for truth in QUALITY_TRUTHS:
                yield from _seeds("quality", World((truth,), texts=texts, noise=noise))
        for truth in TIME_TRUTHS:
            yield from _seeds("time", World((truth,), noise=noise))
        for truth in (0.80, 0.95):
            yield from _seeds("mean quality", World((truth - 0.1, truth + 0.1), noise=noise))
            yield from _seeds("mean quality", World((truth,) * 2, sizes=2, noise=noise))
        for truths in ((0.95,), (0.80,), ALL_ON_UPPER, ALL_ON_LOWER, ONE_GOOD):
            yield from _seeds("joint", World(truths, noise=noise))
        yield from _seeds("joint", World(ALL_ON_UPPER, sizes=2, noise=noise))
        yield from _seeds("joint with time", World(ALL_ON_UPPER, noise=noise))
        for truths in (ALL_ON_UPPER, ALL_BELOW, ONE_GOOD, ALL_GOOD):
            yield from _seeds("recommend", World(truths, noise=noise))
    for truth in (0.80, 0.95):
        for texts in (48, 200):
            yield from _seeds("quality", World((truth,), texts=texts, noise=SKEWED))
        yield from _seeds("quality", World((truth,), texts=0))
    for gain in (0.0, 0.02):
        yield from _seeds("quality", World((1.0,), full_gain=gain))


def _seeds(question: str, world: World) -> Iterator[tuple[str, World]]:
    return ((question, replace(world, seeds=seeds)) for seeds in SEEDS)


# ---- how often it is right ----------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Shares of the verdicts in one world, and which of them are wrong."""

    question: str
    world: World
    experiments: int
    shares: dict[str, float]  # verdict -> share
    right: str | None  # the verdict that is true; None exactly on a threshold

    def false(self, verdict: str) -> float:
        """Share of experiments with this verdict where it is wrong."""
        return 0.0 if verdict == self.right else self.shares.get(verdict, 0.0)

    @property
    def open(self) -> float:
        """Share without a decision."""
        return sum(self.shares.get(verdict, 0.0) for verdict in (UNDECIDED, NOT_MEASURED))

    def to_dict(self) -> dict[str, object]:
        """One line of the JSON output."""
        body = dataclasses.asdict(self)
        wrong = {f"false_{v.lower()}": self.false(v) for v in (VERIFIED, PARTIAL, FAILED)}
        return {**body, **wrong}


def simulate(question: str, world: World, experiments: int, seed: int = 0) -> Row:
    """Ask one question in many experiments of one world."""
    ask, claim = QUESTIONS[question]
    rng = np.random.default_rng([seed, zlib.crc32(f"{question} {world.name}".encode())])
    found = Counter(ask(world, rng) for _ in range(experiments))
    shares = {verdict: count / experiments for verdict, count in sorted(found.items())}
    return Row(question, world, experiments, shares, truth(question, world, claim))


def truth(question: str, world: World, claim: Claim) -> str | None:
    """The verdict of someone who knows; None where any decision would be wrong."""
    if world.full_gain <= 0:
        return None
    best = max(world.truths)
    if question == "mean quality":
        best = sum(world.truths) / len(world.truths)
    one_bar = "joint" in question or question == "recommend"
    bars = [claim.verified_at, claim.partial_at][: 1 if one_bar else 2]
    if any(abs(best - bar) < 1e-9 for bar in bars):
        return None
    if best >= claim.verified_at:
        return VERIFIED
    if question == "recommend":
        return FAILED
    return PARTIAL if best >= claim.partial_at else FAILED


@dataclass(frozen=True)
class Promise:
    """Whether the number of seeds that an undecided verdict names does decide."""

    world: World
    undecided: int  # with a number of seeds
    kept: float  # share of them that is decided with that number
    median: float  # of the numbers


def promises(world: World, experiments: int, seed: int = 0) -> Promise:
    """Judge, and where that names a number of seeds, train on until there are as many."""
    rng = np.random.default_rng([seed, zlib.crc32(f"promise {world.name}".encode())])
    named: list[int] = []
    kept = 0
    for _ in range(experiments):
        (quality,) = draw_quality(world, rng)
        (ratio,) = quality.ratios()
        needed = judge_configuration(QUALITY, measurement(ratio)).seeds_needed
        if needed is None:
            continue
        named.append(needed)
        quality.extend(needed)
        (ratio,) = quality.ratios()
        kept += judge_configuration(QUALITY, measurement(ratio)).verification != UNDECIDED
    count = len(named)
    return Promise(world, count, kept / max(1, count), float(np.median(named or [0])))


def main() -> None:
    """Print the tables, or one JSON document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=EXPERIMENTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = [simulate(q, world, asked.experiments, asked.seed) for q, world in worlds()]
    kept = [
        promises(World((value,), seeds, 200), asked.experiments // 4, asked.seed)
        for value in (0.90, 0.98, 1.02)
        for seeds in (1, 3, 5)
    ]
    if asked.json:
        body = {
            "experiments": asked.experiments,
            "seed": asked.seed,
            "rows": [row.to_dict() for row in rows],
            "promises": [dataclasses.asdict(promise) for promise in kept],
        }
        print(json.dumps(body, indent=1))
        return
    print_rows(rows)
    print_promises(kept)


def print_rows(rows: Sequence[Row]) -> None:
    """One line a world, shares in percent; columns by the number of seeds."""
    wrong = (VERIFIED, PARTIAL, FAILED)
    names = [*(f"false {verdict[0]}" for verdict in wrong), "right", "open"]
    print("false V, P, F: wrongly VERIFIED, PARTIAL, FAILED; open: UNDECIDED or NOT_MEASURED; in %")
    head = f"{'question':<16}{'truth':<20}{'texts':>5} {'noise':<7}"
    print(" " * len(head) + "".join(f" |{f'{seeds} seeds':^41}" for seeds in SEEDS))
    print(head + "".join(" |" + "".join(f"{name:>8}" for name in names) + " " for _ in SEEDS))
    for question, world in dict.fromkeys((r.question, replace(r.world, seeds=0)) for r in rows):
        here = [r for r in rows if (r.question, replace(r.world, seeds=0)) == (question, world)]
        texts = "-" if question == "time" else str(world.texts)
        line = f"{question:<16}{shown(world):<20}{texts:>5} {world.noise:<7}"
        for row in here:
            right = "-" if row.right is None else f"{100 * row.shares.get(row.right, 0.0):.1f}"
            line += " |" + "".join(f"{100 * row.false(verdict):>8.2f}" for verdict in wrong)
            line += f"{right:>8}{100 * row.open:>8.1f} "
        print(line.rstrip())


def shown(world: World) -> str:
    """The truths in a few characters."""
    counts = Counter(world.truths)
    text = ", ".join(f"{n} x {value:g}" if n > 1 else f"{value:g}" for value, n in counts.items())
    if world.sizes > 1:
        text += f", {world.sizes} sizes"
    return text if world.full_gain == FULL_GAIN else f"full gains {world.full_gain:g}"


def print_promises(kept: Sequence[Promise]) -> None:
    """What became of the numbers of seeds."""
    print("\nundecided with a number of seeds: is it decided with that many?")
    for promise in kept:
        world = promise.world
        print(
            f"truth {world.truths[0]:g}, {world.seeds} seeds: {promise.undecided} named a number, "
            f"median {promise.median:.0f}; decided with it {100 * promise.kept:.0f} %"
        )


if __name__ == "__main__":
    main()
