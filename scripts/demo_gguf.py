"""Writes the demo's models and adapters as GGUF. Knows torch state dicts and llama.cpp's names, no training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from sway_gguf.artifacts.peft import interleaved

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ 'Anna: ' if message['role'] == 'user' else 'Ben: ' }}{{ message['content'] }}\n"
    "{% endfor %}{% if add_generation_prompt %}Ben:{% endif %}"
)
"""The world's dialogues are two people's lines: the user speaks as Anna, the model as Ben."""
Pairs = dict[str, tuple[np.ndarray, np.ndarray]]


def write_base(model: LlamaForCausalLM, tokenizer: Tokenizer, path: Path) -> None:
    """The base in float32 with its tokenizer."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name("sway-gguf demo")
    writer.add_license("MIT")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokenizer)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            writer.add_tensor(*_named(name, tensor.numpy().astype(np.float32), config.num_attention_heads))
    _finish(writer)


def _named(name: str, data: np.ndarray, heads: int) -> tuple[str, np.ndarray]:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight", data
    if name == "model.norm.weight":
        return "output_norm.weight", data
    _, _, block, rest = name.split(".", 3)
    kind = rest.removesuffix(".weight")
    turned = interleaved(data, heads) if kind.endswith(("q_proj", "k_proj")) else data
    return f"blk.{block}.{NAMES[kind]}.weight", np.ascontiguousarray(turned)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    parsed = json.loads(tokenizer.to_str())
    ids = tokenizer.get_vocab()
    special = {entry["content"] for entry in parsed["added_tokens"]}
    tokens = sorted(ids, key=ids.__getitem__)
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in parsed["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids["<s>"])
    writer.add_eos_token_id(ids["</s>"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def lora_pairs(tuned: PeftModel) -> Pairs:
    """A [r, d_in] and B [d_out, r] by llama.cpp's module name, rows of q and k in llama.cpp's order."""
    heads = tuned.config.num_attention_heads if hasattr(tuned, "config") else 4
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tuned.state_dict().items():
        if ".lora_A." in name or ".lora_B." in name:
            module = name.split(".layers.")[1].split(".lora_")[0]
            found.setdefault(module, {})["A" if ".lora_A." in name else "B"] = tensor.numpy().astype(np.float32)
    pairs = {}
    for module, factors in found.items():
        block, kind = module.split(".", 1)
        b = interleaved(factors["B"], heads) if kind.endswith(("q_proj", "k_proj")) else factors["B"]
        pairs[f"blk.{block}.{NAMES[kind]}.weight"] = (factors["A"], np.ascontiguousarray(b))
    return dict(sorted(pairs.items()))


def write_adapter(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], alpha: float, name: str, path: Path) -> None:
    """A LoRA in float32."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_name(name)
    writer.add_license("MIT")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    writer.add_string("general.base_model.0.name", "sway-gguf demo")
    for module, (a, b) in pairs.items():
        writer.add_tensor(f"{module}.lora_a", a)
        writer.add_tensor(f"{module}.lora_b", b)
    _finish(writer)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
