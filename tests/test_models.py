"""Loading, adapters and exact counts, on models small enough to build in a moment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_efficiency_benchmark.config.adapters import AdapterSettings, parse_adapter
from lora_efficiency_benchmark.errors import ModelError, TargetModulesError
from lora_efficiency_benchmark.models.adapter_modules import check_targets, linear_layers
from lora_efficiency_benchmark.models.loading import (
    WEIGHT_DTYPES,
    count,
    count_parameters,
    create_lora_model,
    load_base_model,
    measure_model_size,
    resolve_model,
    weights_fingerprint,
)

LAYERS, HIDDEN, MIDDLE, VOCABULARY, HEADS = 2, 32, 64, 320, 4
KEY_VALUE = HIDDEN // 2  # two of four heads
ATTENTION = {
    "q_proj": (HIDDEN, HIDDEN), "k_proj": (HIDDEN, KEY_VALUE),
    "v_proj": (HIDDEN, KEY_VALUE), "o_proj": (HIDDEN, HIDDEN),
}  # fmt: skip
MLP = {"gate_proj": (HIDDEN, MIDDLE), "up_proj": (HIDDEN, MIDDLE), "down_proj": (MIDDLE, HIDDEN)}


def llama(**changes: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": MIDDLE,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**settings, **changes}))


def opt() -> Any:
    from transformers import OPTConfig, OPTForCausalLM

    return OPTForCausalLM(
        OPTConfig(
            vocab_size=VOCABULARY, hidden_size=HIDDEN, ffn_dim=MIDDLE, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, max_position_embeddings=64, word_embed_proj_dim=HIDDEN,
        )
    )  # fmt: skip


def neox() -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=MIDDLE,
            num_hidden_layers=LAYERS, num_attention_heads=HEADS, max_position_embeddings=64,
        )
    )  # fmt: skip


def adapter(*targets: str, r: int = 8, **more: Any) -> AdapterSettings:
    return parse_adapter({"r": r, "target_modules": list(targets), **more})


def lora_size(shapes: dict[str, tuple[int, int]], r: int = 8) -> int:
    """Hu et al. 2021, section 4.1: B is out x r, A is r x in."""
    return LAYERS * sum(r * (wide + tall) for wide, tall in shapes.values())


# ---- counts ---------------------------------------------------------------------------------


def base_size(tied: bool) -> int:
    per_layer = sum(a * b for a, b in (*ATTENTION.values(), *MLP.values())) + 2 * HIDDEN
    return VOCABULARY * HIDDEN * (1 if tied else 2) + LAYERS * per_layer + HIDDEN


@pytest.mark.parametrize("tied", [True, False])
def test_base_count_is_the_formula_and_tied_weights_count_once(tied: bool) -> None:
    model = llama(tie_word_embeddings=tied)
    assert count_parameters(model) == (base_size(tied), base_size(tied))
    assert count(model).adapter == 0


def test_lora_count_is_the_formula() -> None:
    model = create_lora_model(llama(), adapter(*ATTENTION))
    counts = count(model)
    assert counts.trainable == counts.adapter == lora_size(ATTENTION)
    assert counts.total == base_size(tied=True) + lora_size(ATTENTION)
    assert counts.trainable_bytes == 4 * lora_size(ATTENTION)


def test_all_linear_leaves_the_head_alone() -> None:
    model = create_lora_model(llama(), adapter("all-linear"))
    assert count(model).trainable == lora_size({**ATTENTION, **MLP})


def test_dora_adds_one_magnitude_a_row() -> None:
    model = create_lora_model(llama(), adapter("q_proj", use_dora=True))
    assert count(model).trainable == lora_size({"q": ATTENTION["q_proj"]}) + LAYERS * HIDDEN


def test_model_size_is_byte_exact() -> None:
    model = torch.nn.Linear(10, 3, dtype=torch.bfloat16)
    model.register_buffer("seen", torch.zeros(5, dtype=torch.int64))
    assert measure_model_size(model) == ((30 + 3) * 2 + 5 * 8) / 1024**2
    assert count(model).dtypes == {"bfloat16": 33}


def test_adapters_stay_in_fp32_on_a_bf16_base(tiny_model_dir: Path) -> None:
    model, _ = load_base_model(str(tiny_model_dir), "bf16")
    counts = count(create_lora_model(model, adapter("q_proj")))
    assert counts.dtypes == {
        "bfloat16": base_size(tied=True),
        "float32": lora_size({"q": ATTENTION["q_proj"]}),
    }


# ---- targets --------------------------------------------------------------------------------


def test_a_partial_match_is_an_error_that_lists_the_linear_layers() -> None:
    """PEFT itself adapts q_proj here and is silent about o_proj: OPT calls it out_proj."""
    with pytest.raises(TargetModulesError) as error:
        create_lora_model(opt(), adapter("q_proj", "o_proj"))
    message = str(error.value)
    assert message.startswith("target_modules: o_proj matches nothing in OPTForCausalLM")
    assert "k_proj, v_proj, q_proj, out_proj, fc1, fc2, lm_head" in message


def test_no_match_at_all_on_a_fused_projection() -> None:
    with pytest.raises(TargetModulesError, match=r"q_proj, v_proj match nothing.*query_key_value"):
        create_lora_model(neox(), adapter("q_proj", "v_proj"))


@pytest.mark.parametrize("target", ["mlp", "self_attn", "layers", "input_layernorm", "proj", ""])
def test_only_layers_with_a_weight_matrix_match(target: str) -> None:
    with pytest.raises(TargetModulesError):
        check_targets(llama(), [target])


def test_longer_names_match_by_whole_parts() -> None:
    check_targets(llama(), ["self_attn.q_proj", "layers.0.mlp.up_proj"])


@pytest.mark.parametrize(
    ("build", "targets"),
    [(opt, ["q_proj", "out_proj"]), (neox, ["query_key_value", "dense_4h_to_h"])],
)
def test_other_architectures_by_their_own_names(build: Any, targets: list[str]) -> None:
    model = create_lora_model(build(), adapter(*targets))
    adapted = {n.split(".lora_")[0].rsplit(".", 1)[-1] for n, _ in model.named_parameters()
               if ".lora_" in n}  # fmt: skip
    assert adapted == set(targets)


@pytest.mark.parametrize("build", [llama, opt, neox])
def test_all_linear_on_every_architecture(build: Any) -> None:
    model = create_lora_model(build(), adapter("all-linear"))
    assert count(model).trainable > 0
    assert not any(
        "lm_head.lora" in n or "embed_out.lora" in n for n, _ in model.named_parameters()
    )


def test_linear_layers_in_model_order() -> None:
    assert linear_layers(llama()) == [*ATTENTION, *MLP, "lm_head"]


def test_a_fresh_adapter_changes_nothing() -> None:
    torch.manual_seed(0)
    model = llama().eval()
    ids = torch.arange(10).unsqueeze(0)
    with torch.no_grad():
        before = model(input_ids=ids).logits
        after = create_lora_model(model, adapter("all-linear")).eval()(input_ids=ids).logits
    torch.testing.assert_close(after, before, rtol=0, atol=0)


# ---- loading --------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", sorted(WEIGHT_DTYPES))
def test_weights_come_in_the_precisions_storage_type(tiny_model_dir: Path, precision: str) -> None:
    model, tokenizer = load_base_model(str(tiny_model_dir), precision)
    assert {p.dtype for p in model.parameters()} == {WEIGHT_DTYPES[precision]}
    assert model.config.use_cache is False
    assert len(tokenizer) == VOCABULARY
    assert count(model).total == base_size(tied=True)


def test_a_fingerprint_knows_the_weights_not_the_path(tiny_model_dir: Path, copy: Path) -> None:
    found = {
        precision: weights_fingerprint(load_base_model(str(folder), precision)[0])
        for folder in (tiny_model_dir, copy)
        for precision in ("fp32", "bf16", "fp16")
    }
    here = weights_fingerprint(load_base_model(str(tiny_model_dir), "fp32")[0])
    assert here is not None
    assert len(here) == 32
    assert found == {"fp32": here, "bf16": here, "fp16": None}


def test_a_fingerprint_changes_with_the_weights() -> None:
    model = llama()
    before = weights_fingerprint(model)
    assert weights_fingerprint(model) == before
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    assert weights_fingerprint(model) != before


@pytest.fixture
def copy(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def load_error(folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        load_base_model(str(folder))
    message = str(error.value)
    assert str(folder) in message
    assert "\n" not in message
    assert "network" not in message, "a folder that is there is no matter of the network"
    return message


@pytest.mark.parametrize("content", [b"", b"xx", None])
def test_damaged_weights(copy: Path, content: bytes | None) -> None:
    weights = copy / "model.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[: len(raw) // 2] if content is None else content)
    assert "cannot be loaded" in load_error(copy)


def test_missing_weights_are_not_made_up(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    gone = "model.layers.1.mlp.up_proj.weight"
    del weights[gone]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert (
        f"1 weights are missing or of another shape than its config.json says, such as {gone}"
        in (load_error(copy))
    )


def test_weights_of_another_shape(copy: Path) -> None:
    settings = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    settings["intermediate_size"] = 48
    (copy / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert "6 weights are missing or of another shape" in load_error(copy)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    load_error(copy)


def test_pickled_weights_are_not_opened(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert "safetensors" in load_error(copy)


@pytest.mark.parametrize("name", ["./absent", "/absent/model", "~/absent", "a/b/c", "absent.gguf"])
def test_a_path_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelError, match="no such file or folder"):
        resolve_model(name)


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ModelError, match=r"must end in \.gguf"):
        resolve_model(str(tmp_path / "model.bin"))


def test_hub_ids_pass_and_fail_offline_with_a_reason() -> None:
    assert resolve_model("org/model") == "org/model"
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set, or give a local folder"):
        load_base_model("org-that-is-not/model-that-is-not")
