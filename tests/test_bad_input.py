"""Bad input to every command: one line on standard error that says what and where, exit code 1.

Wrong usage (an unknown option) is exit code 2, in the words of the command line library. The tables
are the point: add what went wrong somewhere, and it is held from then on.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from factories import make_config, make_records
from lora_efficiency_benchmark import cli
from lora_efficiency_benchmark.cli import plan as cli_plan
from lora_efficiency_benchmark.errors import LoraBenchError
from lora_efficiency_benchmark.execution import choice
from lora_efficiency_benchmark.records.store import Store

pytestmark = pytest.mark.usefixtures("close_log", "signals")

LAUGHS = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
CLAIM = (
    "id: x, metric: time_ratio, claimed: 1, verified_at: 1, partial_at: 0.5, "
    "text: {ja: あ, en: a}, source: s"
)
CONTROL = CLAIM.replace("id: x", 'id: "\\x1b[31m"')
JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")
DEEP = "[" * 3000 + "]" * 3000

SETTINGS = """
    model_name=                                     | model_name: must be text
    model_name=3                                    | model_name: must be text
    model_name=[a,b]                                | model_name: must be text
    model_name="\\x1b[31mred"                       | without control characters
    model_name="a\\nb"                              | without control characters
    model_name="\\u202Egnp.exe"                     | without control characters
    model_name="\\ud800"                            | without control characters
    base_model_name={}                              | base_model_name: must be text
    base_model_name="\\0"                           | without control characters
    output_dir=                                     | output_dir: must be text
    output_dir=3                                    | output_dir: must be text
    output_dir="a\\0b"                              | without control characters
    claims=nope                                     | claims preset
    claims=3                                        | claims: must be text
    dataset_sizes=3                                 | dataset_sizes: must be a list
    dataset_sizes=[]                                | dataset_sizes: must be a list
    dataset_sizes=[0]                               | dataset_sizes: must be whole numbers
    dataset_sizes=[-1]                              | dataset_sizes: must be whole numbers
    dataset_sizes=[1.5]                             | dataset_sizes: must be whole numbers
    dataset_sizes=[true]                            | dataset_sizes: must be whole numbers
    dataset_sizes=[many]                            | dataset_sizes: must be whole numbers
    dataset_sizes=[99999999999]                     | at most 2,147,483,647
    dataset_sizes=[5,5]                             | dataset_sizes: must be distinct
    dataset_sizes=null                              | dataset_sizes: must be a list
    dataset_sizes={a: 1}                            | dataset_sizes: must be a list
    training_steps=0                                | training_steps: must be a whole number
    training_steps=-1                               | training_steps: must be a whole number
    training_steps=1.5                              | training_steps: must be a whole number
    training_steps=true                             | training_steps: must be a whole number
    training_steps=abc                              | training_steps: must be a whole number
    training_steps=.inf                             | training_steps: must be a whole number
    training_steps=1e400                            | training_steps: must be a whole number
    training_steps=100000000000000000000            | training_steps: must be a whole number
    training_steps=                                 | training_steps: must be a whole number
    training_steps=2026-11-24                       | training_steps: must be a whole number
    training_steps=!!binary aGVsbG8=                | training_steps: must be a whole number
    training_steps=!!set {a, b}                     | training_steps: must be a whole number
    eval_steps=0                                    | eval_steps: must be a whole number
    batch_size=0                                    | batch_size: must be a whole number
    batch_size=[4]                                  | batch_size: must be a whole number
    evaluation_size=-3                              | evaluation_size: must be a whole number
    seeds=0                                         | seeds: must be a whole number
    seeds=1001                                      | seeds: must be at most 1000
    max_length=1                                    | max_length: must be at least 2 tokens
    max_length=long                                 | max_length: must be at least 2 tokens
    lora_configurations=[]                          | lora_configurations: must be a list
    lora_configurations={}                          | lora_configurations: must be a list
    lora_configurations=[3]                         | lora_configurations[0]: must be a mapping
    lora_configurations=[{}]                        | lora_configurations[0].r: rank must be
    lora_configurations=[{r: 0, target_modules: [q_proj]}]      | rank must be
    lora_configurations=[{r: -8, target_modules: [q_proj]}]     | rank must be
    lora_configurations=[{r: 1.5, target_modules: [q_proj]}]    | rank must be
    lora_configurations=[{r: true, target_modules: [q_proj]}]   | rank must be
    lora_configurations=[{r: "8", target_modules: [q_proj]}]    | rank must be
    lora_configurations=[{r: 99999999999, target_modules: [q_proj]}] | rank must be
    lora_configurations=[{r: 8}]                                | name at least one module
    lora_configurations=[{r: 8, target_modules: []}]            | name at least one module
    lora_configurations=[{r: 8, target_modules: {q: 1}}]        | name at least one module
    lora_configurations=[{r: 8, target_modules: [q, q]}]        | a module is named twice
    lora_configurations=[{r: 8, target_modules: [3]}]           | must be module names
    lora_configurations=[{r: 8, target_modules: ["a,b"]}]       | must be module names
    lora_configurations=[{r: 8, target_modules: ["a+b"]}]       | must be module names
    lora_configurations=[{r: 8, target_modules: ["\\x1b[2J"]}]  | must be module names
    lora_configurations=[{r: 8, alpha: 0, target_modules: [q]}]     | alpha: must be a number
    lora_configurations=[{r: 8, alpha: .nan, target_modules: [q]}]  | alpha: must be a number
    lora_configurations=[{r: 8, alpha: .inf, target_modules: [q]}]  | alpha: must be a number
    lora_configurations=[{r: 8, alpha: x, target_modules: [q]}]     | alpha: must be a number
    lora_configurations=[{r: 8, dropout: 1, target_modules: [q]}]   | dropout: must be a number
    lora_configurations=[{r: 8, dropout: -1, target_modules: [q]}]  | dropout: must be a number
    lora_configurations=[{r: 8, use_dora: 1, target_modules: [q]}]  | use_dora: must be true or
    lora_configurations=[{r: 8, use_rslora: "yes", target_modules: [q]}] | use_rslora: must be true
    lora_configurations=[{rank: 8, target_modules: [q]}]            | unknown key 'rank'
    lora_configurations=[{r: 8, target_modules: [q], modules_to_save: [q]}] | is a target module too
    lora_configurations=[{r: 8, target_modules: [q]}, {r: 8, target_modules: [q]}] | distinct
    learning_rates=fast                             | learning_rates: must be {full
    learning_rates=[1, 2]                           | learning_rates: must be {full
    learning_rates=null                             | learning_rates: must be {full
    learning_rates={full: 1e-4}                     | no rate for
    learning_rates={lora: 1e-4}                     | no rate for 'full'
    learning_rates={full: 0, lora: 1}               | learning_rates.full: must be a finite
    learning_rates={full: -1e-4, lora: 1}           | learning_rates.full: must be a finite
    learning_rates={full: .inf, lora: 1}            | learning_rates.full: must be a finite
    learning_rates={full: quick, lora: 1}           | learning_rates.full: must be a finite
    learning_rates={full: 1e-4, lora: true}         | learning_rates.lora: must be a finite
    learning_rates={ful: 1e-4, lora: 1}             | did you mean 'full'
    learning_rate=0                                 | learning_rate: must be a finite
    learning_rate=x                                 | learning_rate: must be a finite
    search={trials: 5}                              | with 'learning_rates: search' only
    precision=fp8                                   | precision: must be one of
    precision={full: bf16}                          | precision: must be one of
    precision={full: bf16, lora: int4}              | precision: must be one of
    precision=[bf16]                                | precision: must be one of
    dataset=                                        | dataset: must be 'generated'
    dataset=3                                       | dataset: must be 'generated'
    dataset={}                                      | dataset: must be 'generated'
    dataset={path: ""}                              | dataset: must be 'generated'
    dataset={text_field: x}                         | dataset: must be 'generated'
    dataset={path: x, colour: y}                    | dataset: must be keys among
    dataset={path: x, text_field: 3}                | dataset: must be 'generated'
    dataset={path: "\\x1b[H"}                       | dataset: must be 'generated'
    dataset={1: 2}                                  | dataset: must be text keys
    trainer_args=3                                  | trainer_args: must be a mapping
    trainer_args={output_dir: x}                    | trainer_args.output_dir: the benchmark's own
    trainer_args={learning_rate: 1}                 | trainer_args.learning_rate: the benchmark's
    trainer_args={gradient_accumulation_steps: 0}   | gradient_accumulation_steps: must be a whole
    trainer_args={1: 2}                             | trainer_args: must be text keys
    trainer_args={when: 2026-11-24}                 | trainer_args: must be text keys
    launcher=3                                      | launcher: must be a mapping
    launcher={isolation: thread}                    | isolation: auto|fork|spawn
    launcher={nodes: 2}                             | isolation: auto|fork|spawn
    launcher={address: 3}                           | launcher.address: must be auto or HOST:PORT
    launcher={address: ""}                          | launcher.address: must be auto or HOST:PORT
    time_limit_minutes=0                            | time_limit_minutes: must be minutes
    time_limit_minutes=-1                           | time_limit_minutes: must be minutes
    time_limit_minutes=.nan                         | time_limit_minutes: must be minutes
    time_limit_minutes=1e300                        | time_limit_minutes: must be minutes
    time_limit_minutes=soon                         | time_limit_minutes: must be minutes
    trust_remote_code=1                             | trust_remote_code: must be true or false
    allow_pickle="yes"                              | allow_pickle: must be true or false
    estimate_scale=2                                | estimate_scale: must be true or false
    probes=3                                        | probes: must be true or false
    samples=3                                       | samples: must be a list
    samples=[""]                                    | samples: must be a list
    samples=[3]                                     | samples: must be a list
    samples=["\\udcff"]                             | samples: must be a list
    samples=[a, a]                                  | samples: must be distinct
    training_stepps=5                               | did you mean 'training_steps'
    colour=red                                      | unknown key 'colour'
    training_steps                                  | write it as key=value
    =5                                              | write it as key=value
    seeds=[                                         | the value is not plain YAML
    seeds="unclosed                                 | the value is not plain YAML
    seeds={a: 1, a: 2}                              | the value is not plain YAML
    seeds=!!python/object/apply:os.getcwd []        | the value is not plain YAML
    seeds=!!python/name:os.system                   | the value is not plain YAML
    seeds=!!bool maybe                              | the value is not plain YAML
    seeds=!!int ""                                  | the value is not plain YAML
    seeds=!!timestamp soon                          | the value is not plain YAML
    seeds=*nowhere                                  | the value is not plain YAML
    seeds=&a [*a]                                   | the value is not plain YAML
    seeds=2026-13-45                                | the value is not plain YAML
"""
"""``--set`` values for ``plan``, and a piece of the line that must come back."""

SEARCHES = """
    search=3                        | search: must be a mapping
    search={speed: 1}               | search: unknown key 'speed'
    search={trials: 2}              | search.trials: must be a whole number of at least 3
    search={trials: many}           | search.trials: must be a whole number
    search={steps: 0}               | search.steps: must be a whole number
    search={validation_size: -1}    | search.validation_size: must be a whole number
    search={factor: 1}              | search.factor: must be a number above 1
    search={factor: 1000}           | search.factor: must be a number above 1
    search={centres: 3}             | search.centres: must be {full
    search={centres: {dora: 1}}     | search.centres: must be {full
    search={centres: {full: 0}}     | search.centres.full: must be a finite
    search={centres: {full: 1e9}}   | search.centres.full: must lie between
"""

YAML_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "must be a mapping of fields, got NoneType"),
    "comment": ("# nothing here\n", "must be a mapping of fields, got NoneType"),
    "list": ("- seeds: 1\n", "must be a mapping of fields, got list"),
    "word": ("quick\n", "must be a mapping of fields, got str"),
    "unknown": ("seed: 3\n", "unknown key 'seed'; did you mean 'seeds'"),
    "number-key": ("3: 4\n", "unknown key 3"),
    "twice": ("seeds: 1\nseeds: 2\n", "line 2 is not plain YAML: the key 'seeds' is given twice"),
    "tab": ("search:\n\ttrials: 5\n", "line 2 is not plain YAML"),
    "unclosed": ("claims: 'paper\n", "is not plain YAML"),
    "colon": ("a: b: c\n", "line 1 is not plain YAML"),
    "two": ("seeds: 1\n---\nseeds: 2\n", "is not plain YAML"),
    "python": ("seeds: !!python/object/apply:os.getpid []\n", "line 1 is not plain YAML"),
    "own-tag": ("seeds: !secret x\n", "line 1 is not plain YAML"),
    "laughs": (LAUGHS, "more than 100,000 values, aliases unfolded"),
    "laughs-in-a-field": (LAUGHS + "samples: *a5\n", "more than 100,000 values"),
    "itself": ("search: &a {x: *a}\n", "nested too deeply"),
    "deep": (f"samples: {DEEP}\n", "nested too deeply"),
    "deep-by-aliases": (
        "".join(f"k{n}: &k{n} [{f'*k{n - 1}' if n else 1}]\n" for n in range(80)), "too deeply",
    ),
    "merge-nothing": ("<<: 3\n", "is not plain YAML"),
    "date": ("seeds: 2026-13-45\n", "is not plain YAML"),
    "digits": (f"seeds: {'9' * 5000}\n", "a number of 5,000 digits"),
    "base-60": ("seeds: 1" + ":59" * 300 + "\n", "a number of 901 digits"),
    "latin": ("claims: ä\n".encode("latin-1"), "is not UTF-8 text"),
    "utf-16": ("seeds: 1\n".encode("utf-16"), "is not UTF-8 text"),
    "nul": (b"seeds: \0\n", "is not plain YAML"),
    "escape": (b"claims: \x1b[31m\n", "is not plain YAML"),
    "binary": (bytes(range(256)), "is not"),
    "large": ("# " + "x" * (1 << 20) + "\n", "more than 1 MiB"),
}  # fmt: skip

CLAIM_FILES: dict[str, tuple[str, str]] = {
    "no-claims": ("seeds: 1", "needs a list under 'claims'"),
    "empty-claims": ("claims: []", "needs a list under 'claims'"),
    "claims-word": ("claims: paper", "needs a list under 'claims'"),
    "claim-number": ("claims: [3]", "claims[0]: must be a mapping"),
    "claim-unknown": (f"claims: [{{{CLAIM}, colour: red}}]", "unknown key 'colour'"),
    "claim-short": ("claims: [{id: x}]", "metric is missing"),
    "claim-metric": (f"claims: [{{{CLAIM.replace('time_ratio', 'speed')}}}]", "unknown metric"),
    "claim-word": (f"claims: [{{{CLAIM.replace('claimed: 1', 'claimed: much')}}}]", "be numbers"),
    "claim-nan": (f"claims: [{{{CLAIM.replace('claimed: 1', 'claimed: .nan')}}}]", "be finite"),
    "claim-inf": (f"claims: [{{{CLAIM.replace('at: 0.5', 'at: -.inf')}}}]", "be finite"),
    "claim-digits": (f"claims: [{{{CLAIM.replace('d: 1,', f'd: {9**320},')}}}]", "be finite"),
    "claim-order": (f"claims: [{{{CLAIM.replace('at: 0.5', 'at: 2')}}}]", "at least partial_at"),
    "claim-text": (f"claims: [{{{CLAIM.replace('ja: あ, ', '')}}}]", "exactly 'ja' and 'en'"),
    "claim-no-text": (f"claims: [{{{CLAIM.replace('en: a', 'en: 3')}}}]", "must be texts"),
    "claim-joint": (f"claims: [{{{CLAIM}, joint: 1}}]", "joint must be true or false"),
    "claim-side": (f"claims: [{{{CLAIM}, comparison: both}}]", "same-model or cross-model"),
    "claim-precision": (f"claims: [{{{CLAIM}, precision: fp8}}]", "controlled or as-practised"),
    "claim-escape": (f'claims: [{{{CLAIM}, id: "\\x1b["}}]', "given twice"),
    "claim-control": (f"claims: [{{{CONTROL}}}]", "without control characters"),
    "claim-pair": (f"claims: [{{{CLAIM}}}, {{{CLAIM}}}]", "two claims share an id"),
}  # fmt: skip

OTHERS = """
    run no-such.yaml                          | neither a file nor a benchmarks preset
    run --preset nope                         | 'nope' is neither
    run quick --preset quick                  | not both
    run --executor slurm                      | must be local or ray
    run --address auto                        | add --executor ray
    run --report-to nobody                    | nobody
    run --lang fr                             | must be ja or en
    run --output-dir {tmp}/file               | is (or lies below) a file
    run --output-dir {tmp}/file/below         | is (or lies below) a file
    run --output-dir {tmp}/file --fresh       | is a file, not a folder
    plan {tmp}                                | neither a file nor a benchmarks preset
    plan --lang xx                            | must be ja or en
    analyze {tmp}/absent                      | no such folder
    analyze {tmp}/file                        | no such folder
    analyze {tmp}/empty                       | holds no records
    analyze {tmp}/records-file                | holds no records
    analyze {tmp}/broken                      | cannot be read
    analyze {tmp}/other-version               | this program reads 1
    analyze {tmp}/bad-config                  | unknown key 'colour'
    analyze {tmp}/bad-claims                  | needs a list under 'claims'
    analyze {tmp}/good --lang fr              | must be ja or en
    analyze {tmp}/good --claims nope          | claims preset
    analyze {tmp}/good --claims {tmp}         | claims preset
    report {tmp}/absent                       | no such folder
    report {tmp}/empty                        | holds no records
    report {tmp}/broken                       | cannot be read
    report {tmp}/good --format pdf            | must be one of
    report {tmp}/good --format csv -o {tmp}           | cannot be written
    report {tmp}/good --format csv -o {tmp}/a/b.csv   | cannot be written
    report {tmp}/good --lang de               | must be ja or en
    report {tmp}/good --claims nope           | claims preset
    recommend {tmp}/absent                    | no such folder
    recommend {tmp}/empty                     | holds no records
    recommend {tmp}/good --retention much     | must be a share
    recommend {tmp}/good --retention 200      | must be a share
    recommend {tmp}/good --retention nan      | must be a share
    recommend {tmp}/good --retention=-0.1     | must be a share
    recommend {tmp}/good --max-memory nope    | --max-memory nope
    recommend {tmp}/good --max-memory 0GiB    | more than no memory
    recommend {tmp}/good --max-minutes 0      | must be a number above zero
    recommend {tmp}/good --max-minutes inf    | must be a number above zero
    recommend {tmp}/good --max-minutes soon   | must be a number above zero
    recommend {tmp}/good --data-size 1.5      | must be a whole number above zero
    recommend {tmp}/good --data-size many     | must be a whole number above zero
    recommend {tmp}/good --cheapest price     | must be one of
    recommend {tmp}/good --lang fr            | must be ja or en
    compare {tmp}/good                        | takes 2 to
    compare {tmp}/good {tmp}/absent           | no such folder
    compare {tmp}/good {tmp}/broken           | cannot be read
    import {tmp}/absent {tmp}/out             | cannot be read
    import {tmp}/empty {tmp}/out              | holds no results
    import {tmp}/file {tmp}/out               | nothing could be imported
    import {tmp}/good {tmp}/out               | nothing could be imported
    import {tmp}/empty {tmp}/file             | is a file, not a folder
    import {tmp}/empty {tmp}/good             | holds something else
    import {tmp}/empty {tmp}/out --lang fr    | must be ja or en
    init --lang fr                            | must be ja or en
    init -o {tmp}                             | is a folder
    init -o {tmp}/file                        | is there already
    map llama-2-7b -o {tmp}/x.html --lang fr  | must be ja or en
    map llama-2-7b -o {tmp}/x.html --gpu NOPE | unknown GPU
    map llama-2-7b -o {tmp}/x.html --claims nope          | claims preset
    map llama-2-7b -o {tmp}/x.html --checkpointing maybe  | must be one of
    map llama-2-7b -o {tmp}/absent/x.html     | absent
    models --lang fr                          | must be ja or en
    doctor --lang fr                          | must be ja or en
    estimate llama-2-7b --batch-size 0        | --batch-size 0
    estimate llama-2-7b --batch-size=-4       | --batch-size -4
    estimate llama-2-7b --batch-size 9999999  | --batch-size 9999999
    estimate llama-2-7b --seq-len 1           | --seq-len 1
    estimate llama-2-7b --accumulation 0      | --accumulation 0
    estimate llama-2-7b --max-grad-norm=-1    | --max-grad-norm -1
    estimate llama-2-7b --max-grad-norm nan   | --max-grad-norm nan
    estimate llama-2-7b --precision fp8       | --precision fp8
    estimate llama-2-7b --dtype int8          | --dtype int8
    estimate llama-2-7b --dtype float32 --precision bf16 | give one of them
    estimate llama-2-7b --optimizer adam      | --optimizer adam
    estimate llama-2-7b --attention magic     | --attention magic
    estimate llama-2-7b --adapter-dtype fp4   | --adapter-dtype fp4
    estimate llama-2-7b --quantization nf5    | --quantization nf5
    estimate llama-2-7b --quantization nf4 --device cpu | predicted for CUDA only
    estimate llama-2-7b --loop mine           | --loop mine
    estimate llama-2-7b --device tpu          | --device tpu
    estimate llama-2-7b --gpu NOPE            | unknown GPU
    estimate llama-2-7b --gpu 0GiB            | more than no memory
    estimate llama-2-7b --gpu {nines}GiB      | unknown GPU
    estimate llama-2-7b --lang fr             | must be ja or en
"""

USAGE = """
    nothing                       | No such command
    run --no-such-option          | No such option
    analyze                       | Missing argument
    report                        | Missing argument
    import only-one               | Missing argument
    count                         | Missing argument
    estimate                      | Missing argument
    map llama-2-7b                | Missing option
    estimate a --batch-size x     | valid int
    estimate a --strict           | --strict
    estimate a --gpu A --gpu B    | --gpu
    models --lang                 | requires an argument
    models extra                  | unexpected extra argument
"""

METHODS = """
    nothing                                       | write full
    full:r=8                                      | write full
    lora                                          | r is missing
    lora:                                         | r is missing
    lora:r=8                                      | targets is missing
    lora:targets=q_proj                           | r is missing
    lora:r=8,r=9,targets=q_proj                   | give r once
    lora:r,targets=q_proj                         | give r once
    lora:r=eight,targets=q_proj                   | r=eight cannot be read
    lora:r=0,targets=q_proj                       | rank must be
    lora:rank=8,targets=q_proj                    | unknown key 'rank'
    lora:r=8,targets=q_proj+q_proj                | named twice
    lora:r=8,targets=q_proj+                      | must be module names
    lora:r=8,targets=q_proj,dropout=1             | dropout: must be a number
    lora:r=8,targets=q_proj,alpha=nan             | alpha: must be a number
    lora:r=8,targets=q_proj,dora=yes              | dora=yes cannot be read
    peft:                                         | write full
    peft:{tmp}/absent                             | cannot be read
    peft:{tmp}/empty                              | cannot be read
    peft:{tmp}/file                               | is not JSON
    peft:{tmp}/peft-list.json                     | has no peft_type
    peft:{tmp}/peft-targets.json                  | must be module names
    peft:/dev/zero                                | not a file
"""


def table(text: str) -> list[tuple[str, str]]:
    rows = [line.rpartition(" | ") for line in text.splitlines() if line.strip()]
    return [(left.strip(), right.strip()) for left, _, right in rows]


CASES: list[tuple[tuple[str, ...], str]] = [
    *((tuple(shlex.split(text)), words) for text, words in table(OTHERS)),
    *((("plan", f"{{tmp}}/{name}.yaml"), words) for name, (_, words) in YAML_FILES.items()),
    *(
        (("analyze", "{tmp}/good", "--claims", f"{{tmp}}/{name}.yaml"), words)
        for name, (_, words) in CLAIM_FILES.items()
    ),
    *((("plan", "--set", text), words) for text, words in table(SETTINGS)),
    *(
        (("plan", "--set", "learning_rates=search", "--set", text), words)
        for text, words in table(SEARCHES)
    ),
]
WRONG_USAGE = [(tuple(shlex.split(text)), words) for text, words in table(USAGE)]
handled: set[tuple[str, ...]] = set()


@pytest.fixture
def signals() -> Iterator[None]:
    """``run`` answers SIGINT and SIGTERM in its own way; the test process keeps its own."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files that something is wrong with, and ``good``, which is all right."""
    base = tmp_path_factory.mktemp("bad")
    for name, (content, _) in {**YAML_FILES, **CLAIM_FILES}.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (base / f"{name}.yaml").write_bytes(raw)
    (base / "file").write_text("mine\n", encoding="utf-8")
    (base / "empty").mkdir()
    (base / "records-file").mkdir()
    (base / "records-file/records").write_text("mine\n", encoding="utf-8")
    (base / "peft-list.json").write_text("[]", encoding="utf-8")
    targets = {"peft_type": "LORA", "target_modules": [3]}
    (base / "peft-targets.json").write_text(json.dumps(targets), encoding="utf-8")
    config = make_config(lora_configurations=[{"r": 4, "target_modules": ["q_proj", "v_proj"]}])
    for name in ("good", "broken", "other-version", "bad-config", "bad-claims"):
        store = Store(base / name)
        store.create()
        for record in make_records(config):
            path = store.write_record(record)
        store.write_text("config.yaml", config.to_yaml())
    content = path.read_text(encoding="utf-8")
    (base / "broken/records" / path.name).write_text(content[:80], encoding="utf-8")
    other = content.replace('"format_version": 1', '"format_version": 2')
    (base / "other-version/records" / path.name).write_text(other, encoding="utf-8")
    (base / "bad-config/config.yaml").write_text("colour: red\n", encoding="utf-8")
    (base / "bad-claims/claims.yaml").write_text("claims: 3\n", encoding="utf-8")
    return base


def accepted(*_: Any) -> Any:
    """Stands for the heavy part of ``plan`` and ``run``, which bad input never reaches."""
    raise AssertionError("this input was accepted")


def call(arguments: tuple[str, ...], tmp: Path, patch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """``(exit code, standard output, standard error)`` of a command, run in this process."""
    filled = [a.replace("{tmp}", str(tmp)).replace("{nines}", "9" * 400) for a in arguments]
    patch.setattr(sys, "argv", ["lora-bench", *filled])
    patch.setenv("LC_ALL", "C.UTF-8")
    patch.chdir(tmp)  # a run that starts after all leaves its folder there
    patch.setattr(cli_plan, "_estimated_peaks", accepted)
    patch.setattr(choice, "LocalLauncher", accepted)
    told: list[str] = []
    text = LoraBenchError.text

    def noted(error: LoraBenchError, language: str) -> str:
        told.append(text(error, "ja"))
        return text(error, language)

    patch.setattr(LoraBenchError, "text", noted)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    assert not told or JAPANESE.search(told[-1]), f"no Japanese: {told[-1]}"
    return stop.value.code, said.out, said.err


def check(arguments: tuple[str, ...], words: str, done: tuple[Any, str, str]) -> None:
    code, out, err = done
    assert code == 1, (out, err)
    assert out == ""
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1, err
    assert err.startswith("lora-bench: ")
    assert words in err
    assert err[:-1].isprintable()
    assert len(err) < 1500
    handled.add(arguments)


@pytest.mark.parametrize(("arguments", "words"), CASES, ids=lambda value: str(value)[:60])
def test_bad_input_is_one_line_and_exit_1(
    arguments: tuple[str, ...],
    words: str,
    tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(arguments, words, call(arguments, tmp, monkeypatch, capsys))


@pytest.mark.parametrize(("arguments", "words"), WRONG_USAGE, ids=lambda value: str(value)[:60])
def test_wrong_usage_is_exit_2(
    arguments: tuple[str, ...],
    words: str,
    tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = call(arguments, tmp, monkeypatch, capsys)
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    handled.add(arguments)


@pytest.mark.parametrize("command", ["count", "estimate"])
@pytest.mark.parametrize(("method", "words"), table(METHODS))
def test_a_bad_method_is_one_line(
    command: str,
    method: str,
    words: str,
    tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """These two commands import torch."""
    arguments = (command, "llama-2-7b", method)
    check(arguments, words, call(arguments, tmp, monkeypatch, capsys))


@pytest.mark.parametrize("command", ["count", "estimate"])
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("./absent", "no such file or folder"),
        ("a/b/c", "no such file or folder"),
        ("absent.gguf", "no such file or folder"),
        ("{tmp}/file", "must end in .gguf"),
        ("{tmp}/empty", "cannot be loaded"),
        ("llama-2-8b", "did you mean llama-2-7b"),
        ("llama\x1b[31m", "cannot be loaded"),
    ],
)
def test_a_bad_model_is_one_line(
    command: str,
    model: str,
    words: str,
    tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = (command, model, "full")
    check(arguments, words, call(arguments, tmp, monkeypatch, capsys))


def test_every_case_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    tried = [*(a for a, _ in CASES), *(a for a, _ in WRONG_USAGE)]
    assert len(set(tried)) == len(tried) > 100
    with capsys.disabled():
        print(f"\nbad input: tried {len(tried)}, handled {len(handled & set(tried))} in this run")
