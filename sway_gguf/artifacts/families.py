"""Templates that adapters are commonly trained with, by the family's name.

Written after the formats that the families document, in Jinja, as a GGUF carries it; a test holds them against what the
families publish. Renders nothing.
"""

from __future__ import annotations

_SYSTEM_FIRST = (
    "{% set ns = namespace(before='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.before = m.content + '\n\n' %}"
)
"""For families without system turns: its text stands before the request that follows."""

FAMILIES = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for m in messages %}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "gemma": (
        "{{ bos_token }}" + _SYSTEM_FIRST + "{% else %}"
        "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + ns.before + m.content | trim "
        "+ '<end_of_turn>\n' }}{% set ns.before = '' %}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}" + _SYSTEM_FIRST + "{% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + eos_token }}"
        "{% else %}{{ '[INST] ' + ns.before + m.content + '[/INST]' }}{% set ns.before = '' %}{% endif %}{% endfor %}"
    ),
    "phi": (
        "{% for m in messages %}{% if m.role != 'system' or m.content %}"
        "{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "alpaca": (
        "{% set ns = namespace(before='') %}{% for m in messages %}"
        "{% if m.role == 'system' %}{% set ns.before = m.content %}"
        "{% elif m.role == 'assistant' %}{{ m.content + eos_token }}"
        "{% else %}{% if not ns.before and loop.first %}"
        "{% set ns.before = 'Below is an instruction that describes a task' + (', paired with an input that provides "
        "further context' if m.input else '') + '. Write a response that appropriately completes the request.' %}"
        "{% endif %}{{ ns.before + '\n\n### Instruction:\n' "
        "+ (m.instruction if m.instruction is defined else m.content) "
        "+ ('\n\n### Input:\n' + m.input if m.input else '') + '\n\n### Response:\n' }}"
        "{% set ns.before = '' %}{% endif %}{% endfor %}"
    ),
    "plain": (
        "{% for m in messages %}"
        "{{ m.role + ': ' + (m.content if m.content or not m.tool_calls else m.tool_calls | tojson) + '\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    ),
}
