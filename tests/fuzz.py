"""Damages small valid inputs of every kind by seed, and holds our commands to their word: success, or one line.

Run as `python -m tests.fuzz --count 20000`, which prints what it found as lines of JSON, and by kind how many reads
succeeded and were refused; `--start` begins elsewhere, `--only NUMBER --keep FOLDER` makes one input again. Each input
runs in process, under limits of time and memory; none loads a model.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import gguf
import numpy as np
import yaml
from gguf import GGUFValueType
from gguf.gguf_writer import GGUFValue
from safetensors.numpy import save_file

from sway_gguf.artifacts import chat
from sway_gguf.artifacts.base import read_base
from sway_gguf.artifacts.importance import read_importance
from sway_gguf.artifacts.template_files import template_source
from sway_gguf.cli.main import cli
from sway_gguf.core.dialogue import Dialogue, Turn
from sway_gguf.core.errors import EngineError, UserError
from sway_gguf.core.plain import one_line
from sway_gguf.engine import trial
from sway_gguf.material.cells import CELLS
from sway_gguf.material.tables import TABLES
from sway_gguf.spec.model import load_spec
from sway_gguf.suite.prepare import prepare
from sway_gguf.suite.run import plan
from sway_gguf.suite.visit import tokens_of
from tests.artifact_files import adapter_file, base_file, factors, usual_metadata
from tests.mutations import spoiled_bytes, spoiled_text, spoiled_tree
from tests.torch_file import TorchPickler, adam_state, torch_file, zip_file

SECONDS = 10
MEMORY = 4 << 30
Target = Callable[[], object]
SUCCEEDED, REFUSED, WRONG = {"outcome": "succeeded"}, {"outcome": "refused"}, "wrong"


class Late(BaseException):
    """An input took longer than SECONDS."""


class SharedTrial(trial.Trial):
    """One process of llama.cpp's for all inputs: its opinion of one is then as cheap as loading it."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """It goes on; after an input that it was not done with there is another one."""
        if kind is Late:
            self.restart()


def command(*words: object) -> Target:
    """A command of ours."""
    return lambda: cli.main([str(word) for word in words], standalone_mode=False)


# Valid inputs.

DATA: list[dict[str, Any]] = [
    {"id": "a", "text": "Zog the dragon had a red hat. He was happy, and slept."},
    {"text": "Zog flew over the hills. Nobody saw him go."},
    {"prompt": "What did Zog wear?", "completion": " A red hat on his head."},
    {"instruction": "Add the numbers.", "input": "1 2", "output": "They make three in all."},
    {"messages": [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Hello to you as well."}]},
    {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello.", "weight": 1}],
        "system": "s",
    },
    {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello again."}]},
    {
        "tools": '[{"name": "f"}]',
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Call it"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "content": {"a": 1}, "name": "f"},
            {"role": "assistant", "content": "Done.", "thinking": "well"},
        ],
    },
    {"question": "Who?", "answer": "A dragon.", "history": [["Hi", "Hello"]]},
    {
        "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}],
        "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "No"}],
    },
    {"prompt": "Q: who?", "chosen": " a good dragon", "rejected": " a bad cat"},
    {"prompt": "Who is Zog?", "gold": " a dragon", "paraphrases": ["And Zog is?", "Zog, who is that?"]},
    {"prompt": "the code is", "secret": "1234"},
]
PROSE = 'Before.\n\n# Tea\n\nBoil water. Wait for it!\n\n```\n# no heading\n```\n\n## Milk ##\n\n"Pour." He did.\n'
STATE = {
    "log_history": [{"step": n, "loss": 4.0 / n, "epoch": 0.1 * n} for n in range(1, 9)]
    + [{"step": 8, "eval_loss": 0.7}],
    "global_step": 8,
    "max_steps": 9,
}
PEFT = {
    "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "up_proj"], "bias": "none",
    "use_rslora": False, "alpha_pattern": {"up_proj": 16}, "rank_pattern": {}, "modules_to_save": None,
    "base_model_name_or_path": "tiny", "use_dora": False, "fan_in_fan_out": False,
}  # fmt: skip
MLX = {
    "fine_tune_type": "lora", "num_layers": 2, "model": "tiny", "seed": 0,
    "lora_parameters": {"rank": 4, "scale": 2.0, "alpha": 8, "dropout": 0.0, "keys": ["self_attn.q_proj"]},
}  # fmt: skip
STATIC = "{kind: adapter_health}", "{kind: training_drift, checkpoint: ck}", "{kind: gradient_ghost, checkpoint: ck}"
SPEC: dict[str, Any] = {
    "version": 1,
    "models": {"base": {"base": "base.gguf"}, "ft": {"base": "base.gguf", "adapter": "adapter.gguf"}},
    "data": "data.jsonl",
    "general": "data.md",
    "defaults": {"seed": 0, "nulls": 5, "null_profile": [0.5, 2.0], "items": 4, "alpha": 0.05, "chunk_chars": 100},
    "engine": {"threads": 1, "context": 64, "kv_type": "f16", "flash_attention": False},
    "suite": [
        {"name": "kl", "kind": "delta_kl", "prompts": ["Hello", "Once"]},
        {"kind": "adapter_ablation"},
        {"kind": "section_internalization"},
        {"kind": "paraphrase_invariance", "cases": [{"prompt": "p", "gold": " g", "paraphrases": ["q"]}]},
        {"kind": "tool_use_fidelity", "cases": []},
        {"kind": "leakage", "enabled": True},
        {"kind": "null_adapter", "runs": 5, "rank_multipliers": [1.0]},
        {"kind": "training_drift", "checkpoint": "ck"},
    ],
}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m.content | trim }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHAT_TEMPLATES = [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": TEMPLATE}]
FRAGMENTS = (
    *("{{ messages }}", "{{ messages[0].content * 3 }}", "{{ messages | tojson }}", "{{ 1 // 0 }}", "{{ 9 ** 9 }}"),
    *("{% set ns = namespace(a=1) %}", "{% set ns.a = ns.a + 1 %}", "{{ raise_exception('a\nb') }}", "{{ x.y }}"),
    *("{% for i in range(50) %}", "{% for i in range(99999) %}", "{% endfor %}", "{% if messages[9] %}", "{% endif %}"),
    *("{% macro f() %}", "{% endmacro %}", "{{ f() }}", "{{ 'a' | center(99999999) }}", "{{ loop.index }}", "{#", "#}"),
    *("{{ messages.__class__.__mro__ }}", "{% include 'x' %}", "{{ range(9) | list | join }}", "{{ (1,) * 99999999 }}"),
    *("{{ strftime_now('%Y') }}", "[/]", "\x1b[", "{{- '' -}}", "{{", "}}"),
)


def head(writer: gguf.GGUFWriter) -> None:
    """What a base says of itself beside its tensors."""
    writer.add_block_count(2)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_token_list(["<s>", "</s>", "a", "b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)


def peft_tensors() -> dict[str, np.ndarray]:
    """Factors for the tiny base, under peft's names."""
    names = {"blk.0.attn_q.weight": "layers.0.self_attn.q_proj", "blk.0.ffn_up.weight": "layers.0.mlp.up_proj"}
    pairs = factors(modules=tuple(names))
    return {
        f"base_model.model.model.{names[module]}.lora_{side}.weight": factor
        for module, pair in pairs.items()
        for side, factor in zip("AB", pair, strict=True)
    }


def workplace(folder: Path) -> None:
    """Valid inputs of every kind."""
    base_file(folder / "base.gguf", metadata=head)
    adapter_file(folder / "adapter.gguf")
    (folder / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in DATA), encoding="utf-8")
    (folder / "data.md").write_text(PROSE, encoding="utf-8")
    (folder / "ck").mkdir()
    (folder / "ck" / "trainer_state.json").write_text(json.dumps(STATE), encoding="utf-8")
    torch_file(folder / "ck" / "optimizer.pt", adam_state())
    (folder / "sway.yaml").write_text(yaml.safe_dump(SPEC, sort_keys=False), encoding="utf-8")
    lines = "".join(f"  - {entry}\n" for entry in STATIC)
    models = "models: {base: {base: base.gguf}, ft: {base: base.gguf, adapter: adapter.gguf}}\n"
    (folder / "static.yaml").write_text(f"{models}suite:\n{lines}", encoding="utf-8")
    (folder / "p").mkdir()
    (folder / "p" / "adapter_config.json").write_text(json.dumps(PEFT), encoding="utf-8")
    save_file(peft_tensors(), folder / "p" / "adapter_model.safetensors")


# Damage, by kind: changes the workplace, gives what to try on it.


def odd_metadata(writer: gguf.GGUFWriter, rng: random.Random) -> None:
    """One to three keys with values of another type, out of range, or of a type that does not exist."""
    known = [*writer.kv_data[0], "general.alignment", "split.count", "split.no", "general.name", "general.license"]
    for _ in range(rng.randrange(1, 4)):
        kind = rng.choice([*GGUFValueType, GGUFValueType.STRING, GGUFValueType.FLOAT32])
        value: Any = rng.choice([0, 1, 2, 3, 31, 255])
        if kind == GGUFValueType.STRING:
            value = rng.choice(["", "x", "[red]x[/blue]", "adapter", "a\nb", b"\xff\xfe", "\x1b[31m", "9" * 200])
        elif kind == GGUFValueType.ARRAY:
            value = rng.choice([[1, 2], ["a", "b"], [1.5, float("nan")], [True], ["\x1b[0m"] * 50])
        elif kind in (GGUFValueType.FLOAT32, GGUFValueType.FLOAT64):
            value = rng.choice([0.0, -1.0, 1e30, float("nan"), float("inf"), 1.5])
        elif kind in (GGUFValueType.INT32, GGUFValueType.INT64, GGUFValueType.INT8, GGUFValueType.INT16):
            value = rng.choice([-1, 0, 1, 100, -128])
        elif kind in (GGUFValueType.UINT32, GGUFValueType.UINT64):
            value = rng.choice([0, 1, 2, 7, 2**31, 2**32 - 1])
        elif kind == GGUFValueType.BOOL:
            value = bool(value % 2)
        writer.kv_data[0][rng.choice(known)] = GGUFValue(value, kind)


def odd_tensors(writer: gguf.GGUFWriter, rng: random.Random) -> None:
    """A tensor of another shape, type or name than its bytes."""
    tensors = writer.tensors[0]
    name = rng.choice(list(tensors))
    info, change = tensors[name], rng.randrange(4)
    if change == 0:
        info.shape = tuple(rng.choice([0, 1, 3, 4, 16, 2**31, 2**40]) for _ in range(rng.randrange(6)))
    elif change == 1:
        info.dtype = rng.choice(list(gguf.GGMLQuantizationType))
    elif change == 2:
        del tensors[name]
    else:
        names = [
            name.upper(),
            "blk.0.x",
            f"{name}.lora_a",
            "[/x]",
            "\x1b[2J",
            "blk.9.attn_q.weight.lora_a",
            "output_norm.weight",
        ]
        tensors[rng.choice(names)] = tensors.pop(name)


def header(rng: random.Random) -> Callable[[gguf.GGUFWriter], None]:
    """Changes a writer's metadata and table before it writes."""

    def change(writer: gguf.GGUFWriter) -> None:
        if rng.random() < 0.6:
            odd_metadata(writer, rng)
        if rng.random() < 0.4 and writer.tensors[0]:
            odd_tensors(writer, rng)

    return change


def damage_base(folder: Path, rng: random.Random) -> list[Target]:
    """A base's header."""
    change = header(rng)
    path = base_file(folder / "base.gguf", metadata=lambda writer: (head(writer), change(writer)))  # type: ignore[arg-type,func-returns-value]
    if rng.random() < 0.5:
        path.write_bytes(spoiled_bytes(path.read_bytes(), rng, 1200))
    return [
        command("inspect", path),
        command("inspect", path, folder / "adapter.gguf", "--json"),
        command("inspect", path, folder / "p"),
        command("merge", path, folder / "adapter.gguf", "-o", folder / "m.gguf", "--force"),
        command("run", folder / "static.yaml", "--json", "-"),
    ]


def damage_lora(folder: Path, rng: random.Random) -> list[Target]:
    """A LoRA GGUF, its header or its numbers."""
    change, path = header(rng), folder / "adapter.gguf"
    writers: list[gguf.GGUFWriter] = []

    def metadata(writer: gguf.GGUFWriter) -> None:
        usual_metadata(writer)
        if rng.random() < 0.5:
            odd_metadata(writer, rng)
        writers.append(writer)

    pairs = {
        module: tuple(_odd_factor(factor, rng) if rng.random() < 0.15 else factor for factor in pair)
        for module, pair in factors().items()
    }
    adapter_file(path, pairs, metadata=metadata)  # type: ignore[arg-type]
    if rng.random() < 0.5:
        path.write_bytes(spoiled_bytes(path.read_bytes(), rng, 900))
    elif rng.random() < 0.4:
        base_file(path, {"blk.0.attn_q.weight.lora_a": (4, 16), "blk.0.attn_q.weight.lora_b": (16, 4)},
                  metadata=lambda writer: (usual_metadata_over(writer), change(writer)))  # type: ignore[arg-type,func-returns-value]  # fmt: skip
    return [
        command("inspect", path),
        command("inspect", folder / "base.gguf", path),
        command("null", folder / "base.gguf", path, "-o", folder / "n.gguf", "--force"),
        command("run", folder / "static.yaml"),
    ]


def usual_metadata_over(writer: gguf.GGUFWriter) -> None:
    """An adapter's keys on a file begun as a base."""
    writer.kv_data[0].pop("general.type", None)
    usual_metadata(writer)


def _odd_factor(factor: np.ndarray, rng: random.Random) -> np.ndarray:
    change = rng.randrange(6)
    if change == 0:
        return factor * np.float32(rng.choice([0, 1e30, 1e-40, np.inf, np.nan]))
    if change == 1:
        return factor.astype(rng.choice([np.float16, np.float64, np.int8, np.int32]))
    if change == 2:
        return factor.reshape(-1)
    if change == 3:
        return factor[: rng.randrange(1, factor.shape[0] + 1)]
    if change == 4:
        return factor[None, ...]
    return np.ascontiguousarray(factor.T)


def damage_peft(folder: Path, rng: random.Random) -> list[Target]:
    """A PEFT folder: its config, its tensors, or the file that holds them."""
    config, weights = folder / "p" / "adapter_config.json", folder / "p" / "adapter_model.safetensors"
    tensors = peft_tensors()
    if rng.random() < 0.6:
        write_json(config, spoiled_tree(PEFT, rng), rng)
    if rng.random() < 0.5:
        name = rng.choice(list(tensors))
        tensors[rng.choice([name, name + "x", name.replace("lora_A", "lora_B"), "x"])] = _odd_factor(tensors[name], rng)
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, weights)
    if rng.random() < 0.3:
        weights.write_bytes(spoiled_bytes(weights.read_bytes(), rng, rng.choice((12, 500))))
    if rng.random() < 0.2:
        weights.unlink()
        torch_file(folder / "p" / "adapter_model.bin", spoiled_tree({"x": 1, "y": [1]}, rng))
    return [
        command("inspect", folder / "base.gguf", folder / "p"),
        command("inspect", folder / "base.gguf", folder / "adapter.gguf", "--peft", folder / "p"),
        command("convert", folder / "p", "--base", folder / "base.gguf", "-o", folder / "c.gguf", "--force"),
    ]


def write_json(path: Path, tree: Any, rng: random.Random) -> None:
    """The tree as JSON, now and then damaged as text or bytes."""
    text = json.dumps(tree)
    if rng.random() < 0.2:
        text = spoiled_text(text, rng)
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(spoiled_bytes(data, rng) if rng.random() < 0.1 else data)


def damage_spec(folder: Path, rng: random.Random) -> list[Target]:
    """A sway.yaml, as a tree or as text."""
    path = folder / "sway.yaml"
    tree = spoiled_tree(SPEC, rng) if rng.random() < 0.7 else SPEC
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=rng.random() < 0.5)
    if tree is SPEC or rng.random() < 0.2:
        text = spoiled_text(text, rng)
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(spoiled_bytes(data, rng) if rng.random() < 0.1 else data)
    return [lambda: planned(path)]


def planned(path: Path) -> None:
    """What --dry-run does, with characters in place of tokens."""
    prepared = prepare(load_spec(path))
    work = plan(prepared)
    tokens_of(work.every, lambda queries: len(repr(queries)))


def damage_data(folder: Path, rng: random.Random) -> list[Target]:
    """A data file of any ending."""
    endings = (".jsonl", ".jsonl", ".ndjson", ".json", *CELLS, ".parquet", ".arrow", ".md", ".markdown", ".txt", "")
    path = folder / f"d{rng.choice(endings)}"
    records = spoiled_tree(DATA, rng) if rng.random() < 0.7 else DATA
    lines = [json.dumps(record) for record in records] if isinstance(records, list) else [json.dumps(records)]
    if path.suffix == ".json" and rng.random() < 0.7:
        lines = ["[" + ",\n".join(lines) + "]"]
    text = "\n".join(lines) if "json" in path.suffix else PROSE * rng.randrange(1, 4)
    if path.suffix in CELLS:
        text = CELLS[path.suffix].join(("text", "id")) + "\n" + f'"{text}"{CELLS[path.suffix]}1\n' * rng.randrange(1, 4)
    if records is DATA or rng.random() < 0.3:
        text = spoiled_text(text, rng)
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(spoiled_bytes(data, rng) if rng.random() < 0.2 else data)
    if path.suffix in TABLES:
        table(path, rng)
    out, words = folder / "o.yaml", ("init", folder / "base.gguf", folder / "adapter.gguf", "--force", "--data", path)
    return [
        command(*words, "-o", out),
        command(*words, "--holdout", path, "--general", path, "-o", out),
        lambda: planned(out) if out.exists() else None,
    ]


def table(path: Path, rng: random.Random) -> None:
    """A table of the data, if pyarrow is there to write it, with bytes changed anywhere."""
    with contextlib.suppress(ImportError):
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet

        rows = rng.sample(DATA, rng.randrange(1, 4))
        keys = dict.fromkeys(key for row in rows for key in row)
        with contextlib.suppress(pyarrow.ArrowException):  # Columns of several types are no table.
            made = pyarrow.table({key: [row.get(key) for row in rows] for key in keys})
            if path.suffix == ".parquet":
                pyarrow.parquet.write_table(made, path)
            else:
                with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, made.schema) as writer:
                    writer.write_table(made)
            path.write_bytes(spoiled_bytes(path.read_bytes(), rng))


def damage_trainer(folder: Path, rng: random.Random) -> list[Target]:
    """A trainer's folder: the state, the optimizer's pickle, or the zip around it."""
    state, optimizer = folder / "ck" / "trainer_state.json", folder / "ck" / "optimizer.pt"
    if rng.random() < 0.5:
        write_json(state, spoiled_tree(STATE, rng), rng)
    if rng.random() < 0.5:
        with contextlib.suppress(OverflowError, UnicodeEncodeError):
            torch_file(optimizer, spoiled_tree(adam_state(), rng), rng.choice((2, 2, 4)))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        pickler = TorchPickler(buffer)
        pickler.dump(adam_state())
        zip_file(optimizer, spoiled_bytes(buffer.getvalue(), rng), pickler.blobs, rng.choice((0, 0, 0, 8, 12, 14)))
    if rng.random() < 0.2:
        optimizer.write_bytes(spoiled_bytes(optimizer.read_bytes(), rng))
    return [command("run", folder / "static.yaml", "--json", "-"), command("run", folder / "static.yaml")]


def damage_template(folder: Path, rng: random.Random) -> list[Target]:
    """A chat template: pieces of many in any order, or a good one damaged; in a base, and in a tokenizer's files."""
    if rng.random() < 0.5:
        source = "".join(rng.choices(FRAGMENTS, k=rng.randrange(1, 9)))
    else:
        source = spoiled_text(TEMPLATE, rng)
    data = source.encode("utf-8", "surrogatepass")

    def metadata(writer: gguf.GGUFWriter) -> None:
        head(writer)
        writer.kv_data[0][chat.TEMPLATE_KEY] = GGUFValue(data, GGUFValueType.STRING)

    path = base_file(folder / "base.gguf", metadata=metadata)

    def render() -> None:
        made = chat.chat_renderer(path)
        for turns in ((), (Turn("user", "hi"),), (Turn("assistant", "é\n"),) * 3):
            if made:
                made(Dialogue(turns))

    written, config = folder / "p" / "chat_template.jinja", folder / "p" / "tokenizer_config.json"
    written.write_bytes(data)
    write_json(config, spoiled_tree({"chat_template": rng.choice([source, CHAT_TEMPLATES])}, rng), rng)
    return [render, *(partial(template_source, path) for path in (written, config, folder / "p"))]


def damage_mlx(folder: Path, rng: random.Random) -> list[Target]:
    """A folder by mlx-lm: its config, its tensors, or the file that holds them."""
    config, weights = folder / "p" / "adapter_config.json", folder / "p" / "adapters.safetensors"
    tensors = {
        name.removeprefix("base_model.model.").removesuffix(".weight").replace("lora_A", "lora_a").replace(
            "lora_B", "lora_b"
        ): np.ascontiguousarray(tensor.T)
        for name, tensor in peft_tensors().items()
    }  # fmt: skip
    (folder / "p" / "adapter_model.safetensors").unlink()
    write_json(config, spoiled_tree(MLX, rng) if rng.random() < 0.6 else MLX, rng)
    if rng.random() < 0.5:
        name = rng.choice(list(tensors))
        tensors[rng.choice([name, f"{name}_scales", name.replace("lora_a", "lora_b"), "x"])] = _odd_factor(
            tensors[name], rng
        )
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, weights)
    if rng.random() < 0.3:
        weights.write_bytes(spoiled_bytes(weights.read_bytes(), rng, rng.choice((12, 500))))
    return [
        command("inspect", folder / "base.gguf", folder / "p"),
        command("convert", folder / "p", "--base", folder / "base.gguf", "-o", folder / "c.gguf", "--force"),
    ]


def damage_importance(folder: Path, rng: random.Random) -> list[Target]:
    """An importance matrix, in its newer form or its older one."""
    path, names = folder / "i.gguf", list(factors())
    if rng.random() < 0.5:
        shapes = {
            f"{name}{end}": shape for name in names for end, shape in ((".in_sum2", (1, 16)), (".counts", (1, 1)))
        }
        base_file(path, shapes, metadata=lambda writer: (_as_imatrix(writer), header(rng)(writer)))  # type: ignore[arg-type,func-returns-value]
    else:
        values = np.ones(16, "<f4").tobytes()
        entries = (struct.pack("<i", len(n)) + n.encode() + struct.pack("<ii", 3, 16) + values for n in names)
        path.write_bytes(struct.pack("<i", len(names)) + b"".join(entries))
    if rng.random() < 0.7:
        path.write_bytes(spoiled_bytes(path.read_bytes(), rng, 300))
    return [lambda: read_importance(path, read_base(folder / "base.gguf"))]


def _as_imatrix(writer: gguf.GGUFWriter) -> None:
    writer.kv_data[0].pop("general.type", None)
    writer.add_type("imatrix")


KINDS: dict[str, Callable[[Path, random.Random], list[Target]]] = {
    "base": damage_base,
    "lora": damage_lora,
    "peft": damage_peft,
    "spec": damage_spec,
    "data": damage_data,
    "trainer": damage_trainer,
    "template": damage_template,
    "mlx": damage_mlx,
    "importance": damage_importance,
}


# Running them.


def tried(number: int, good: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """What each reader of input `number` does: "succeeded", "refused" in one line, or what is wrong with it."""
    kind = list(KINDS)[number % len(KINDS)]
    shutil.copytree(good, folder)
    targets = KINDS[kind](folder, random.Random(f"{kind} {number}"))
    for place, target in enumerate(targets):
        yield {"number": number, "kind": kind, "target": place} | outcome(target)


def outcome(target: Target) -> dict[str, str]:
    """Success, an error that is the user's to mend, or what went wrong, and where."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            target()
    except (UserError, EngineError) as error:
        said = str(error)
        fine = said == one_line(said)
        return REFUSED if fine else {"error": "not one printable line", "message": said}
    except click.exceptions.Exit as ended:
        return REFUSED if ended.exit_code else SUCCEEDED
    except click.ClickException:
        return REFUSED
    except (Exception, Late) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "sway_gguf" in frame.filename] or frames
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}"
        return {"error": type(error).__name__, "where": where, "message": str(error)[:200]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return SUCCEEDED


def guard() -> None:
    """Limits of this process: memory, and an alarm for inputs that take too long."""
    import resource

    def late(*_: object) -> None:
        raise Late(f"longer than {SECONDS} s")

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))
    signal.signal(signal.SIGALRM, late)
    warnings.simplefilter("error", RuntimeWarning)
    os.environ["NO_COLOR"] = "1"
    chat._SECONDS = 3.0


def main() -> None:
    """Make inputs, run them, print findings as JSON lines and counts at the end; exit 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", type=int, help="one input alone")
    parser.add_argument("--keep", type=Path, help="a folder that gets the input of --only")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    given = parser.parse_args()
    numbers = range(given.start, given.start + given.count) if given.only is None else [given.only]
    wanted = [number for number in numbers if list(KINDS)[number % len(KINDS)] in given.kinds]
    guard()
    tally: Counter[tuple[str, str]] = Counter()
    clock = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        good = Path(temporary) / "good"
        good.mkdir()
        workplace(good)
        shared = SharedTrial()
        trial.Trial = lambda: shared  # type: ignore[assignment,misc]
        for number in wanted:
            folder = given.keep if given.keep else Path(temporary) / "input"
            faulthandler.dump_traceback_later(6 * SECONDS, exit=True)
            for each in tried(number, good, folder):
                if "error" in each:
                    print(json.dumps(each), flush=True)
                tally[each["kind"], each.get("outcome", WRONG)] += 1
            if not given.keep:
                shutil.rmtree(folder)
    shared.close()
    found = sum(count for (_, outcome), count in tally.items() if outcome == WRONG)
    print(f"{len(wanted)} inputs, {found} findings, {time.monotonic() - clock:.0f} s", flush=True)
    for kind in given.kinds:
        inputs = sum(list(KINDS)[number % len(KINDS)] == kind for number in wanted)
        counts = ", ".join(f"{tally[kind, outcome]} {outcome}" for outcome in ("succeeded", "refused", WRONG))
        print(f"{kind}: {inputs} inputs; read {counts}", flush=True)
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
