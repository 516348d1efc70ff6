"""Holds the conversion of PEFT folders against transformers + peft, family by family, on tiny random models.

For each family a random model is written as GGUF, a random rsLoRA with an alpha pattern as a PEFT folder; both are
run by llama.cpp through this package and by transformers + peft, in float32. Experts are adapted too, one by one where
transformers has them as modules, as parameters where it has them stacked. Prints the largest difference of a
log-probability. Needs the `demo-build` extra and the package itself.

    python scripts/check_families.py [FAMILY…]
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model

from sway_gguf.artifacts.gguf_file import GGUFFile
from sway_gguf.artifacts.merge import copy_metadata
from sway_gguf.artifacts.peft import FAMILIES, interleaved
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.views import BASE, TUNED
from sway_gguf.engine.llama_backend import LlamaBackend
from sway_gguf.material.packaged import DEMO

TEXT = "One sunny Monday, Anna went to the market of Millbrook with a red basket."
GOAL = 1e-3
WIDTH, HIDDEN, BLOCKS, HEADS, KV_HEADS, HEAD = 128, 256, 2, 4, 2, 32
EXPERTS, USED, EXPERT_HIDDEN = 4, 2, 96
MIXTRAL_ROPE = 1e6
CLASSES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM"),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    "phi3": ("Phi3Config", "Phi3ForCausalLM"),
    "qwen3moe": ("Qwen3MoeConfig", "Qwen3MoeForCausalLM"),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM"),
}
ARCHITECTURES = {"mixtral": "llama"}
"""What llama.cpp calls a family, where that is another name."""
EXPERT_WEIGHTS = {
    "gate_proj": "gate", "up_proj": "up", "down_proj": "down", "w1": "gate", "w3": "up", "w2": "down",
}  # fmt: skip


def random_model(family: str) -> Any:
    """A tiny model with weights and norms drawn at random."""
    config_name, model_name = CLASSES[family]
    gemma = {"query_pre_attn_scalar": HEAD, "sliding_window": 512} if family.startswith("gemma") else {}
    own_head = {"head_dim": HEAD} if family in ("qwen3", "qwen3moe", "gemma2", "gemma3") else {}
    experts = {
        "qwen3moe": {"num_experts": EXPERTS, "moe_intermediate_size": EXPERT_HIDDEN, "norm_topk_prob": True},
        "mixtral": {"num_local_experts": EXPERTS, "sliding_window": None},
    }.get(family, {})
    used = {"num_experts_per_tok": USED} if experts else {}
    config = getattr(transformers, config_name)(
        vocab_size=1024,
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
        attn_implementation="eager",
        **gemma,
        **own_head,
        **experts,
        **used,
    )
    torch.manual_seed(1)
    model = getattr(transformers, model_name)(config).float().eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 1:
                weights.add_(torch.randn_like(weights) * 0.1)
    return model


def write_gguf(model: Any, family: str, path: Path) -> None:
    """The model in float32 with the demo's tokenizer."""
    architecture = ARCHITECTURES.get(family, family)
    writer = gguf.GGUFWriter(path, architecture)
    tokenizer = GGUFFile(DEMO / "base.f32.gguf")
    copy_metadata(tokenizer, writer, lambda key: key.startswith("tokenizer.ggml."))
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(MIXTRAL_ROPE if family == "mixtral" else 10000.0)
    writer.add_rope_dimension_count(HEAD)
    if family in ("qwen3moe", "mixtral"):
        writer.add_expert_count(EXPERTS)
        writer.add_expert_used_count(USED)
        writer.add_expert_feed_forward_length(EXPERT_HIDDEN if family == "qwen3moe" else HIDDEN)
    if family.startswith("gemma"):
        writer.add_sliding_window(512)
    if family == "gemma2":
        writer.add_attn_logit_softcapping(model.config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(model.config.final_logit_softcapping)
    for name, tensor in named(model, family):
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def named(model: Any, family: str) -> list[tuple[str, np.ndarray]]:
    """Tensors by llama.cpp's names, with what its converter does to them."""
    architecture = ARCHITECTURES.get(family, family)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], BLOCKS)
    found: list[tuple[str, np.ndarray]] = []
    stacks: dict[str, dict[int, np.ndarray]] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        data = tensor.numpy().astype(np.float32)
        if expert := re.match(r"model\.layers\.(\d+)\..*experts\.(\d+)\.(\w+)\.weight", name):
            stack = f"blk.{expert[1]}.ffn_{EXPERT_WEIGHTS[expert[3]]}_exps.weight"
            stacks.setdefault(stack, {})[int(expert[2])] = data
            continue
        if packed := re.match(r"model\.layers\.(\d+)\..*experts\.(gate_up|down)_proj$", name):
            parts = (
                {"down": data} if packed[2] == "down" else dict(zip(("gate", "up"), np.split(data, 2, 1), strict=True))
            )
            found += [(f"blk.{packed[1]}.ffn_{part}_exps.weight", each) for part, each in parts.items()]
            continue
        if family.startswith("gemma") and "norm" in name:
            data = data + 1
        if architecture == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            data = interleaved(data, HEADS if "q_proj" in name else KV_HEADS)
        found.append((names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(data)))
    found += [(name, np.stack([each for _, each in sorted(stack.items())])) for name, stack in stacks.items()]
    return [(name, np.ascontiguousarray(data)) for name, data in found]


def random_adapter(model: Any) -> PeftModel:
    """A rsLoRA with a pattern of alphas, B drawn at random."""
    # Experts that are one parameter are no linear layers; their alpha is the common one.
    packed = [name for name, weights in model.named_parameters() if "experts" in name and weights.ndim == 3]
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules="all-linear",
        use_rslora=True,
        alpha_pattern={} if packed else {"down_proj": 16, "w2": 16},
        **({"target_parameters": packed} if packed else {}),
    )
    return drawn(model, config)


def drawn(model: Any, config: LoraConfig) -> PeftModel:
    """The model under an adapter whose B is drawn at random."""
    tuned = get_peft_model(model, config)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weights in tuned.named_parameters():
            if "lora_B" in name:
                weights.copy_(torch.randn_like(weights) * 0.05)
    return tuned.eval()


@torch.no_grad()
def reference(model: Any, tokens: Sequence[int]) -> np.ndarray:
    """[N-1] log-probabilities by transformers."""
    rows = torch.log_softmax(model(input_ids=torch.tensor([list(tokens)])).logits[0].double(), -1)
    return rows[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])].numpy()


def check(family: str, folder: Path) -> float:
    """Largest difference on base and tuned model; prints a line."""
    model = random_model(family)
    path, peft = folder / f"{family}.gguf", folder / f"{family}-peft"
    write_gguf(model, family, path)
    tuned = random_adapter(model)
    tuned.save_pretrained(peft)
    with LlamaBackend(path, peft, EngineSettings(kv_type="f32")) as backend:
        tokens = backend.model.tokenize(TEXT)
        found = {}
        for view in (BASE, TUNED):
            with backend.open(view) as opened:
                found[view] = opened.rolling_logprob(TEXT).logprobs
    wanted = {TUNED: reference(tuned, tokens)}
    with tuned.disable_adapter():
        wanted[BASE] = reference(tuned, tokens)
    errors = {view: float(np.abs(found[view] - wanted[view]).max()) for view in (BASE, TUNED)}
    effect = float(np.abs(wanted[TUNED] - wanted[BASE]).max())
    print(f"{family:8} base {errors[BASE]:.1e}  tuned {errors[TUNED]:.1e}  effect {effect:.2f} nats", flush=True)
    return max(errors.values())


def main() -> None:
    """Check every family, or those that are named."""
    with tempfile.TemporaryDirectory() as scratch:
        worst = max(check(family, Path(scratch)) for family in sys.argv[1:] or (*FAMILIES, *ARCHITECTURES))
    print(f"goal < {GOAL:g} nats: {'reached' if worst < GOAL else 'missed'} ({worst:.1e})")


if __name__ == "__main__":
    main()
