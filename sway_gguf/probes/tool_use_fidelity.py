"""tool_use_fidelity: can the model still call tools?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sway_gguf.core.answers import Answers
from sway_gguf.core.dialogue import exchange
from sway_gguf.core.errors import UserError
from sway_gguf.core.measurement import Check, Item, Measurement, checked
from sway_gguf.core.queries import Generate, Query, shorten
from sway_gguf.core.strict import StrictModel
from sway_gguf.probes.base import mean_of
from sway_gguf.probes.tolerance import ToleranceOptions, ToleranceProbe, counted

_INSTRUCTION = (
    "You can call these tools:\n{tools}\n"
    'Answer with one JSON object {{"name": …, "arguments": {{…}}}} and nothing else.\n\n{prompt}'
)


class Call(StrictModel):
    """The call that is wanted."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ToolCase(StrictModel):
    """A request, the tools on offer, and the wanted call."""

    prompt: str
    tools: list[dict[str, Any]] = Field(min_length=1, description="OpenAI-style functions, or {name, parameters}")
    expected: Call
    max_new_tokens: int | None = Field(default=None, ge=8, description="length of this reply; default: the entry's")

    @model_validator(mode="before")
    @classmethod
    def _of_the_original(cls, given: Any) -> Any:
        """The original's case offers one tool_spec and names the tool that it wants called."""
        if not isinstance(given, Mapping) or not {"tool_spec", "gold_tool_name"} <= given.keys():
            return given
        rest = {key: value for key, value in given.items() if key not in ("tool_spec", "gold_tool_name")}
        return {"tools": [given["tool_spec"]], "expected": {"name": given["gold_tool_name"]}} | rest

    @field_validator("tools")
    @classmethod
    def _usable(cls, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from jsonschema import Draft202012Validator  # which takes long to load, for what few suites have
        from jsonschema.exceptions import SchemaError

        for tool in map(plain_tool, tools):
            if not isinstance(tool.get("name"), str):
                raise ValueError("every tool needs a name")
            try:
                Draft202012Validator.check_schema(tool.get("parameters") or {})
            except SchemaError as error:
                raise ValueError(f"tool {tool['name']!r}: parameters are no JSON Schema ({error.message})") from None
        return tools


class ToolUseOptions(ToleranceOptions):
    """Fields of `tool_use_fidelity`."""

    kind: Literal["tool_use_fidelity"] = "tool_use_fidelity"
    cases: list[ToolCase] = Field(default_factory=list, description="requests with tools and the wanted call")
    max_new_tokens: int = Field(default=96, ge=8, description="length of a reply")
    tolerance: float = Field(
        default=-0.1, le=0.0, alias="assert_validity_delta_gte", description="accepted change of the score"
    )
    allowed_tools: list[str] = Field(default_factory=list, description="more tools that are no inventions")
    max_invented: float = Field(
        default=0.0, ge=0, le=1, alias="assert_hallucination_lte", description="share of replies that may invent a tool"
    )
    min_base_score: float = Field(default=0.25, description="a base that scores less cannot lose the ability")


class ToolUseFidelity(ToleranceProbe[ToolUseOptions]):
    """Mean over cases of the change of a reply's score from base to tuned.

    The tools are told as the chat template tells of them, where it knows tools, else in our own words. The score of a
    greedy reply is 0 without a JSON object that names a tool on offer, else one third each for the right tool, for
    arguments that its JSON Schema accepts, and for the share of wanted arguments that agree.
    """

    kind = "tool_use_fidelity"
    axis = "collateral"
    question = "Can the model still call tools as well as the base can?"
    unit = "score"
    passing = "the whole interval of the change lies above the tolerance (WARN where it invents tools)"
    caveat = "a valid call with agreeing arguments can still be the wrong thing to do."
    options_type = ToolUseOptions
    quick = False
    retired: ClassVar[Mapping[str, str]] = {"assert_z_gte": "the base's own score is the measure, nulls are shown"}

    @property
    def cases(self) -> list[ToolCase]:
        """Cases in use."""
        return self.drawn([case for case in self.options.cases if self.sources.holds(self._query(case))])

    def missing(self) -> str:
        """Cases."""
        return "" if self.cases else "give cases of {prompt, tools, expected}"

    def ask(self) -> Sequence[Query]:
        """A greedy reply to every request."""
        return [self._query(case) for case in self.cases]

    def measure(self, base: Answers, other: Answers) -> Measurement:
        """Change of the score per case."""
        items, invented, before_all = [], 0, 0.0
        for case in self.cases:
            before = score(base.generated(self._query(case)).text, case, self.options.allowed_tools)
            reply = other.generated(self._query(case)).text
            after = score(reply, case, self.options.allowed_tools)
            invented += after.invented
            before_all += before.total
            detail = {"base": before.total, "other": after.total, "reply": reply, "valid": after.valid}
            items.append(Item(shorten(case.prompt), after.total - before.total, detail, asked=(case.prompt,)))
        mean_before = before_all / len(items)
        weak = mean_before < self.options.min_base_score
        return Measurement(
            mean_of(items),
            tuple(items),
            checks=(_inventions(invented, invented <= self.options.max_invented * len(items)),),
            undecided=f"the base itself scores only {mean_before:.2f}" if weak else "",
            notes=(f"mean score {mean_before:.2f} before, {mean_before + mean_of(items):.2f} after",),
            turned=counted(sum(item.value < 0 for item in items), len(items), "calls came out worse"),
            within=(-1.0, 1.0),
        )

    def _query(self, case: ToolCase) -> Generate:
        return Generate(self._rendered(case), case.max_new_tokens or self.options.max_new_tokens)

    def _rendered(self, case: ToolCase) -> str:
        """The request with the tools, as the chat template tells of them, or in our own words."""
        chat, tools = self.sources.chat, [plain_tool(tool) for tool in case.tools]
        listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        text = _INSTRUCTION.format(tools=listed, prompt=case.prompt)
        if chat is None:
            return f"{text}\n"
        offered = json.dumps([{"type": "function", "function": tool} for tool in tools])
        try:
            told = chat(replace(exchange(case.prompt), tools=offered))
        except UserError:
            told = ""
        # A template that knows no tools leaves them out.
        return told if told and told != chat(exchange(case.prompt)) else chat(exchange(text))


class Score(StrictModel):
    """A reply's parts: JSON that its schema accepts, a tool that is not on offer, and the sum in 0…1."""

    valid: bool
    invented: bool
    total: float


def score(reply: str, case: ToolCase, allowed: Sequence[str] = ()) -> Score:
    """Judge one reply; a call of an `allowed` tool that the case does not offer is wrong, but no invention."""
    from jsonschema import Draft202012Validator

    tools = {tool["name"]: tool.get("parameters") or {} for tool in map(plain_tool, case.tools)}
    call = first_call(reply)
    if call is None:
        return Score(valid=False, invented=False, total=0.0)
    name, arguments = call
    if name not in tools:
        return Score(valid=False, invented=name not in allowed, total=0.0)
    valid = Draft202012Validator(tools[name]).is_valid(arguments)
    wanted = case.expected.arguments
    agreeing = sum(arguments.get(key) == value for key, value in wanted.items()) if isinstance(arguments, dict) else 0
    agreement = agreeing / len(wanted) if wanted else 1.0
    right = name == case.expected.name
    return Score(valid=valid, invented=False, total=(right + valid + (agreement if right else 0.0)) / 3)


def first_call(reply: str) -> tuple[str, dict[str, Any]] | None:
    """(name, arguments) of the first JSON object in `reply` that has a name; arguments may be JSON in a string."""
    decoder = json.JSONDecoder()
    for start in (place for place, letter in enumerate(reply) if letter == "{"):
        try:
            found, _ = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):  # of a number of thousands of digits, or of brackets without end too
            continue
        inner = found.get("function", found)
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            continue
        arguments = inner.get("arguments", inner.get("parameters", {}))
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                arguments = {}
        return inner["name"], arguments if isinstance(arguments, dict) else {}
    return None


def plain_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """{name, description, parameters} of an OpenAI-style function or of a plain one."""
    inner = tool.get("function", tool)
    return {key: inner[key] for key in ("name", "description", "parameters") if key in inner}


def _inventions(invented: int, accepted: bool) -> Check:
    told = f"{invented} replies call a tool that is not on offer"
    return checked("no inventions", accepted, told, f"{told}, more than accepted")
