"""A Modelfile for Ollama, and the families' chat templates in its language, which is Go's.

Ollama passes every turn, system turns among them, as .Messages, merges neighbours of one role, writes a BOS where the
tokenizer's metadata wants one, and has no way to trim what a user wrote. Which family a model speaks is for others to
say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_EOS = "\x00eos\x00"
"""Stands for the model's own end of sequence in a template below."""
_SYSTEM_FIRST = '{{ $before := "" }}{{ range .Messages }}{{ if eq .Role "system" }}{{ $before = .Content }}'
"""For families without system turns: its text stands before the request that follows."""
_INSTRUCTED = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)

TEMPLATES = {
    "chatml": (
        "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
    ),
    "llama3": (
        "{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>{{ end }}"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    "gemma": (
        _SYSTEM_FIRST + '{{ else if eq .Role "assistant" }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n'
        "{{ else }}<start_of_turn>user\n{{ if $before }}{{ $before }}\n\n{{ end }}{{ .Content }}<end_of_turn>\n"
        '{{ $before = "" }}{{ end }}{{ end }}<start_of_turn>model\n'
    ),
    "mistral": (
        _SYSTEM_FIRST + '{{ else if eq .Role "assistant" }} {{ .Content }}' + _EOS + "{{ else }}[INST] "
        '{{ if $before }}{{ $before }}\n\n{{ end }}{{ .Content }}[/INST]{{ $before = "" }}{{ end }}{{ end }}'
    ),
    "phi": "{{ range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n",
    "alpaca": (
        f'{{{{ $before := "{_INSTRUCTED}" }}}}{{{{ range .Messages }}}}'
        '{{ if eq .Role "system" }}{{ $before = .Content }}{{ else if eq .Role "assistant" }}{{ .Content }}'
        + _EOS
        + "{{ else }}{{ $before }}\n\n### Instruction:\n{{ .Content }}\n\n### Response:\n"
        '{{ $before = "" }}{{ end }}{{ end }}'
    ),
    "plain": "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant:",
}
"""Each writes what the Jinja template of that name in `families.py` does up to the next reply, BOS aside."""

_STOPS = {
    "chatml": ("<|im_end|>",),
    "llama3": ("<|eot_id|>",),
    "gemma": ("<end_of_turn>",),
    "phi": ("<|end|>",),
    "alpaca": ("### Instruction:",),
    "plain": ("\nuser:",),
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a model is spoken to.

    Attributes:
        family: a name of `TEMPLATES`.
        system: what its template says where there is no system turn; "" for nothing.
        eos: its end of sequence as the vocabulary spells it.
        bos: to be written by the template, for the tokenizer does not; "" in most models.
    """

    family: str
    system: str = ""
    eos: str = ""
    bos: str = ""

    @property
    def template(self) -> str:
        """In Go's language."""
        return self.bos + TEMPLATES[self.family].replace(_EOS, self.eos)

    @property
    def stops(self) -> Sequence[str]:
        """Texts at which a reply ends."""
        return _STOPS.get(self.family, (self.eos,) if self.eos else ())


def modelfile(source: str, spoken: Spoken | None, remarks: Sequence[str]) -> str:
    """The text of a Modelfile.

    Args:
        source: what follows FROM, as the Modelfile's own folder sees it.
        spoken: how the model is spoken to; None writes no TEMPLATE.
        remarks: comments, a line each.
    """
    lines = [*(f"# {remark}" for remark in remarks), f"FROM {_word(source)}"]
    if spoken is not None:
        lines.append(f"TEMPLATE {_quoted(spoken.template)}")
        if spoken.system:
            lines.append(f"SYSTEM {_quoted(spoken.system)}")
        lines += [f"PARAMETER stop {_quoted(stop)}" for stop in spoken.stops]
    return "\n".join(lines) + "\n"


def can_quote(text: str) -> bool:
    """Whether a Modelfile can say this text: it has no escapes."""
    return '"""' not in text and not text.endswith('"')


def _quoted(text: str) -> str:
    return f'"""{text}"""' if "\n" in text or '"' in text else f'"{text}"'


def _word(path: str) -> str:
    return f'"{path}"' if " " in path else path
