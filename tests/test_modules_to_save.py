"""Modules trained whole beside the adapter: counted once, tied where they were tied, saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from factories import make_config
from lora_efficiency_benchmark.cell import CellRun, run_cell
from lora_efficiency_benchmark.cli import app
from lora_efficiency_benchmark.config.adapters import AdapterSettings, parse_adapter
from lora_efficiency_benchmark.config.methods import lora, parse_method
from lora_efficiency_benchmark.errors import ConfigError, TargetModulesError
from lora_efficiency_benchmark.estimate.options import EstimateOptions
from lora_efficiency_benchmark.estimate.predict import Predictor
from lora_efficiency_benchmark.estimate.real_step import measured_peak
from lora_efficiency_benchmark.models.adapter_modules import check_adapter
from lora_efficiency_benchmark.models.counting import count_methods
from lora_efficiency_benchmark.models.loading import count, create_lora_model, load_base_model
from lora_efficiency_benchmark.plan import Cell, expand
from lora_efficiency_benchmark.preflight import preflight

RAW = {"r": 2, "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["embed_tokens"]}
TEXT = "lora:r=2,targets=q_proj+v_proj,save=embed_tokens"
HIDDEN, KEY_VALUE = 32, 16
LORA = 2 * 2 * (HIDDEN + HIDDEN + HIDDEN + KEY_VALUE)  # two layers, rank 2, q and v


def llama(tied: bool) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=100, hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=tied,
        )
    )  # fmt: skip


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(vocab_size=100, n_embd=32, n_layer=1, n_head=4, bos_token_id=0, eos_token_id=0)
    )


def adapter(save: list[str], targets: Any = ("q_proj", "v_proj")) -> AdapterSettings:
    return parse_adapter({"r": 2, "target_modules": targets, "modules_to_save": save})


def trained_whole(model: Any) -> list[str]:
    """Names of the trained parameters that are no LoRA matrix."""
    names = [n for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n]
    return [n.removeprefix("base_model.model.") for n in names]


# ---- what is written ---------------------------------------------------------------------------


def test_the_setting_in_all_its_forms() -> None:
    settings = parse_adapter(RAW)
    assert settings.modules_to_save == ("embed_tokens",)
    assert settings.label == "r=2 q,v + embed_tokens"
    assert settings.to_dict()["modules_to_save"] == ["embed_tokens"]
    assert parse_adapter(settings.to_dict()) == settings
    assert parse_method(TEXT).adapter == settings
    assert parse_method(lora(settings).text).adapter == settings
    both = parse_method("lora:r=8,targets=q_proj,save=embed_tokens+lm_head,alpha=3")
    assert both.label == "r=8 q + embed_tokens,lm_head alpha=3"
    assert both.resolved()["modules_to_save"] == ["embed_tokens", "lm_head"]
    assert parse_adapter({**RAW, "modules_to_save": "norm"}).modules_to_save == ("norm",)


def test_without_it_nothing_moves() -> None:
    plain = {key: value for key, value in RAW.items() if key != "modules_to_save"}
    for none in ({}, {"modules_to_save": None}, {"modules_to_save": []}):
        settings = parse_adapter({**plain, **none})
        assert "modules_to_save" not in settings.to_dict()
        assert settings == parse_adapter(plain)
        assert "save" not in lora(settings).text
    old, new = (
        next(c for c in expand(make_config(lora_configurations=[raw])) if c.adapter)
        for raw in (plain, RAW)
    )
    assert old.id != new.id
    assert Cell.from_dict(json.loads(json.dumps(new.to_dict()))) == new


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"modules_to_save": [""]}, "modules_to_save: must be module names"),
        ({"modules_to_save": ""}, "modules_to_save: must be module names"),
        ({"modules_to_save": True}, "modules_to_save: name at least one module"),
        ({"modules_to_save": ["norm", "norm"]}, "modules_to_save: a module is named twice"),
        ({"modules_to_save": ["q_proj"]}, "modules_to_save: q_proj is a target module too"),
    ],
)
def test_refusals_name_field_and_rule(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_adapter({**RAW, **raw})


# ---- what is trained ---------------------------------------------------------------------------


@pytest.mark.parametrize("save", [["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]])
def test_tied_embeddings_stay_tied_and_count_once(save: list[str]) -> None:
    model = create_lora_model(llama(tied=True), adapter(save))
    assert trained_whole(model) == ["model.embed_tokens.modules_to_save.default.weight"]
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    counts = count(model)
    assert counts.trainable == counts.adapter == LORA + 100 * HIDDEN
    assert counts.total == count(llama(tied=True)).total + counts.trainable


def test_untied_ones_are_two() -> None:
    model = create_lora_model(llama(tied=False), adapter(["embed_tokens", "lm_head"]))
    assert count(model).trainable == LORA + 2 * 100 * HIDDEN
    one = create_lora_model(llama(tied=False), adapter(["lm_head"]))
    assert trained_whole(one) == ["lm_head.modules_to_save.default.weight"]


def test_a_name_means_whole_names() -> None:
    """PEFT alone would take every norm of the model for one called norm."""
    model = create_lora_model(llama(tied=True), adapter(["norm"]))
    assert trained_whole(model) == ["model.norm.modules_to_save.default.weight"]
    one = create_lora_model(llama(tied=True), adapter(["layers.1.input_layernorm"]))
    assert trained_whole(one) == ["model.layers.1.input_layernorm.modules_to_save.default.weight"]


@pytest.mark.parametrize("name", ["wte", "token", "act_fn", "rotary_emb", "layers"])
def test_a_name_without_weights_is_an_error_that_lists_what_there_is(name: str) -> None:
    with pytest.raises(TargetModulesError, match=f"{name} matches nothing") as caught:
        create_lora_model(llama(tied=True), adapter(["norm", name]))
    assert "it has: embed_tokens, q_proj" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_is_adapted_or_trained_whole() -> None:
    with pytest.raises(ConfigError, match=r"layers\.0\.mlp\.up_proj is a target module too"):
        check_adapter(llama(tied=True), adapter(["up_proj"], "all-linear"))
    with pytest.raises(ConfigError, match="not both"):
        check_adapter(llama(tied=True), adapter(["q_proj"], ["self_attn.q_proj"]))
    saved, tied = check_adapter(llama(tied=False), adapter(["lm_head"], "all-linear"))
    assert (saved, tied) == (["lm_head"], False), "all-linear leaves out the output layer"


@pytest.mark.parametrize("save", [["wte"], ["lm_head"], ["wte", "lm_head"]])
def test_a_tie_that_peft_cannot_keep_is_one_clear_line(save: list[str]) -> None:
    with pytest.raises(ConfigError, match="share one tensor") as caught:
        create_lora_model(gpt2(), adapter(save, ["c_attn"]))
    assert str(caught.value).startswith("modules_to_save: ")
    assert "\n" not in str(caught.value)
    create_lora_model(gpt2(), adapter(["wpe", "ln_f"], ["c_attn"]))


def test_the_check_before_a_run_finds_it(tiny_model_dir: Path) -> None:
    config = make_config(
        model_name=str(tiny_model_dir), dataset_sizes=[10], evaluation_size=4,
        lora_configurations=[{**RAW, "modules_to_save": ["wte"]}],
    )  # fmt: skip
    with pytest.raises(TargetModulesError, match="modules_to_save: wte matches nothing"):
        preflight(config)


# ---- count, estimate and training agree --------------------------------------------------------


def train_cell(tiny_model_dir: Path, precision: str = "fp32") -> Cell:
    config = make_config(
        model_name=str(tiny_model_dir), dataset_sizes=[10], lora_configurations=[RAW],
        training_steps=3, eval_steps=3, max_length=48, batch_size=2, evaluation_size=4,
        precision=precision, learning_rates={"full": 1e-3, "lora": 1e-2},
    )  # fmt: skip
    return next(c for c in expand(config) if c.kind == "train" and c.adapter)


def test_count_is_estimate_is_training(tiny_model_dir: Path) -> None:
    name, method = str(tiny_model_dir), parse_method(TEXT)
    row = count_methods(name, [method])[0]
    options = EstimateOptions(batch_size=2, seq_len=32, device="cpu", precision="fp32")
    predicted = Predictor(name, method, options).estimate()
    run = CellRun(train_cell(tiny_model_dir))
    model = run.load()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with run.phase("data"):
        split = run.split()
        examples, held_out = run.examples(split.train), run.examples(split.evaluation)
    run.training_pass(model, examples, held_out)
    after = dict(model.named_parameters())
    changed = {n for n, p in after.items() if not torch.equal(p, before[n])}
    assert changed == {n for n, p in after.items() if p.requires_grad}
    assert "base_model.model.model.embed_tokens.modules_to_save.default.weight" in changed
    vocabulary = model.get_input_embeddings().weight.shape[0]
    trained = sum(after[n].numel() for n in changed)
    assert trained == LORA + vocabulary * HIDDEN
    assert trained == row["trainable_parameters"] == predicted.trainable_parameters
    assert run.record.parameters is not None
    assert run.record.parameters["trainable"] == trained
    assert run.record.parameters["total"] == row["total_parameters"] == predicted.total_parameters
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert run.record.saved is not None
    assert run.record.saved["kind"] == "adapter"
    assert run.record.saved["bytes"] > 4 * trained, "the embedding is in it"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "amp-bf16"])
def test_the_estimated_peak_is_the_measured_one(tiny_model_dir: Path, precision: str) -> None:
    name, method = str(tiny_model_dir), parse_method(TEXT)
    options = EstimateOptions(batch_size=2, seq_len=32, device="cpu", precision=precision)
    predicted = Predictor(name, method, options).estimate().peak_allocated_bytes
    assert predicted == pytest.approx(measured_peak(name, method, options), rel=0.002)


def test_an_adapter_dtype_keeps_the_tie(tiny_model_dir: Path) -> None:
    """fp32 adapters on an fp32 model are what they are without asking."""
    peaks = []
    for dtype in ("auto", "float32"):
        options = EstimateOptions(
            batch_size=2, seq_len=32, device="cpu", precision="fp32", adapter_dtype=dtype
        )
        found = Predictor(str(tiny_model_dir), parse_method(TEXT), options).estimate()
        peaks.append(found.peak_allocated_bytes)
    assert peaks[0] == peaks[1]


def test_the_saved_adapter_brings_the_trained_embedding_back(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    from peft import PeftModel

    base, _ = load_base_model(str(tiny_model_dir))
    model = create_lora_model(base, parse_adapter(RAW))
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(tmp_path, save_embedding_layers=False)  # as cell._saved_size does
    again = PeftModel.from_pretrained(load_base_model(str(tiny_model_dir))[0], tmp_path)
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        assert torch.equal(model.eval()(ids).logits, again.eval()(ids).logits)
    assert again.get_input_embeddings().weight is again.get_output_embeddings().weight


def test_a_cell_on_a_bf16_base(tiny_model_dir: Path) -> None:
    """PEFT copies the module as it is stored: a bf16 copy, beside LoRA matrices in fp32."""
    record = run_cell(train_cell(tiny_model_dir, "bf16"))
    assert record.status == "ok"
    assert record.parameters is not None
    dtypes = record.parameters["dtypes"]
    assert dtypes["float32"] == LORA
    assert record.parameters["trainable_bytes"] < 4 * record.parameters["trainable"]


def test_the_command_line(tiny_model_dir: Path) -> None:
    done = CliRunner().invoke(app, ["count", str(tiny_model_dir), "full", TEXT, "--json"])
    assert done.exit_code == 0
    full, own = json.loads(done.stdout)
    assert own["label"] == "r=2 q,v + embed_tokens"
    assert own["trainable_parameters"] < full["trainable_parameters"]
    wrong = CliRunner().invoke(app, ["count", str(tiny_model_dir), f"{TEXT}+embed"])
    assert wrong.exit_code == 1
