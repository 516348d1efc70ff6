"""The templates that we name, against what the families write: derived from what they publish, and held against it."""

from __future__ import annotations

import pytest

from sway_gguf.artifacts.chat import template
from sway_gguf.artifacts.families import FAMILIES
from sway_gguf.cli.check import check
from sway_gguf.core.dialogue import ASSISTANT, SYSTEM, USER, Dialogue, Turn, exchange
from sway_gguf.core.plain import json_text
from sway_gguf.spec.model import FORMATS

SPECIAL = {"bos_token": "<B>", "eos_token": "<E>"}
SAID = exchange(" Hi", "Ho ").then(USER, "And?").then(ASSISTANT, "So.")
WITH_SYSTEM = Dialogue((Turn(SYSTEM, "Be."), *SAID.turns[:2]))
WRITTEN = {
    "chatml": (
        "<|im_start|>user\n Hi<|im_end|>\n<|im_start|>assistant\nHo <|im_end|>\n"
        "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n",
        "<|im_start|>assistant\n",
        "<|im_start|>system\nBe.<|im_end|>\n<|im_start|>user\n Hi<|im_end|>\n<|im_start|>assistant\nHo <|im_end|>\n",
    ),
    "llama3": (
        "<B><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nSo.<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<B><|start_header_id|>system<|end_header_id|>\n\nBe.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|>",
    ),
    "gemma": (
        "<B><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n"
        "<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\nSo.<end_of_turn>\n",
        "<start_of_turn>model\n",
        "<B><start_of_turn>user\nBe.\n\nHi<end_of_turn>\n<start_of_turn>model\nHo<end_of_turn>\n",
    ),
    "mistral": (
        "<B>[INST]  Hi[/INST] Ho<E>[INST] And?[/INST] So.<E>",
        "",
        "<B>[INST] Be.\n\n Hi[/INST] Ho<E>",
    ),
    "phi": (
        "<|user|>\n Hi<|end|>\n<|assistant|>\nHo <|end|>\n<|user|>\nAnd?<|end|>\n<|assistant|>\nSo.<|end|>\n<E>",
        "<|assistant|>\n",
        "<|system|>\nBe.<|end|>\n<|user|>\n Hi<|end|>\n<|assistant|>\nHo <|end|>\n<E>",
    ),
    "alpaca": (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\n Hi\n\n### Response:\nHo <E>\n\n### Instruction:\nAnd?\n\n### Response:\nSo.<E>",
        "",
        "Be.\n\n### Instruction:\n Hi\n\n### Response:\nHo <E>",
    ),
    "plain": (
        "user:  Hi\nassistant: Ho \nuser: And?\nassistant: So.\n",
        "assistant:",
        "system: Be.\nuser:  Hi\nassistant: Ho \n",
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_writes_what_it_publishes(name: str) -> None:
    render = template(FAMILIES[name], name, SPECIAL)
    several, opening, with_system = WRITTEN[name]
    assert render(SAID, opens=False) == several
    assert render(WITH_SYSTEM, opens=False) == with_system
    assert render(SAID) == several.removesuffix("\n<E>" if name == "phi" else "!") + ("\n" * (name == "phi")) + opening


def test_alpaca_puts_an_input_in_its_own_place() -> None:
    more = json_text({"instruction": "Add.", "input": "1 and 2"})
    render = template(FAMILIES["alpaca"], "alpaca", SPECIAL)
    assert render(Dialogue((Turn(USER, "Add.\n1 and 2", more),))) == (
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2"
        "\n\n### Response:\n"
    )


def test_every_family_can_be_asked_for_and_help_names_it() -> None:
    assert set(FORMATS) == {"auto", "chat", *FAMILIES}
    (option,) = (one for one in check.params if one.name == "format")
    assert all(name in (getattr(option, "help", None) or "") for name in FORMATS)
