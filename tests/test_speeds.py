"""How long a run will take: from the speed of the last one, a guess by size, or told to be unknown."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sway_gguf.artifacts.base import BaseModel, read_base
from sway_gguf.core.engine_settings import EngineSettings
from sway_gguf.core.plan import Plan, Speed
from sway_gguf.material.packaged import DEMO
from sway_gguf.report.plan import time_line
from sway_gguf.suite.speeds import known_speed, remember_speed

SETTINGS = EngineSettings()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, in which things are kept."""
    monkeypatch.setenv("SWAY_GGUF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SWAY_GGUF_STORE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def base(tmp_path: Path) -> BaseModel:
    """A base of a hundred million weights, as far as its header says; the file holds four bytes."""
    return model(tmp_path, "small", 100_000_000)


def model(folder: Path, name: str, parameters: int) -> BaseModel:
    """A header of that many weights."""
    path = folder / f"{name}.gguf"
    path.write_text(name)
    return replace(read_base(DEMO / "base.f32.gguf"), path=path, shards=(path,), parameters=parameters)


def run_of(tokens: float, seconds: float, from_store: float = 0.0) -> dict[str, float]:
    """Timings as a result has them."""
    return {"run_seconds": seconds, "tokens": tokens, "tokens_from_store": from_store}


def test_the_last_run_on_a_base_tells_its_speed(base: BaseModel) -> None:
    assert known_speed(base, SETTINGS) is None
    remember_speed(base, SETTINGS, run_of(3000, 10.0))
    remember_speed(base, SETTINGS, run_of(4000, 10.0))
    assert known_speed(base, SETTINGS) == Speed(400.0)


def test_other_settings_and_a_changed_file_have_no_speed_yet(base: BaseModel) -> None:
    remember_speed(base, SETTINGS, run_of(4000, 10.0))
    assert known_speed(base, EngineSettings(threads=3)) is None
    assert known_speed(base, EngineSettings(gpu_layers=-1)) is None
    os.utime(base.path, (1, 1))
    speed = known_speed(base, SETTINGS)
    assert speed is not None
    assert speed.guessed


def test_speed_is_guessed_in_inverse_proportion_to_the_size_from_the_nearest_base(
    base: BaseModel, tmp_path: Path
) -> None:
    remember_speed(base, SETTINGS, run_of(4000, 10.0))
    remember_speed(model(tmp_path, "middle", 2_000_000_000), SETTINGS, run_of(3000, 100.0))
    assert known_speed(model(tmp_path, "large", 6_000_000_000), SETTINGS) == Speed(10.0, guessed=True)
    assert known_speed(model(tmp_path, "next", 200_000_000), SETTINGS) == Speed(200.0, guessed=True)


def test_what_is_too_small_or_too_far_away_is_not_guessed_from(base: BaseModel, tmp_path: Path) -> None:
    tiny = model(tmp_path, "tiny", 2_000_000)
    remember_speed(tiny, SETTINGS, run_of(40_000, 10.0))
    assert known_speed(base, SETTINGS) is None
    remember_speed(base, SETTINGS, run_of(4000, 10.0))
    assert known_speed(model(tmp_path, "giant", 100_000_000_000), SETTINGS) is None
    assert known_speed(model(tmp_path, "tiny too", 3_000_000), SETTINGS) is None


@pytest.mark.parametrize(
    "timings", [run_of(4000, 0.5), run_of(100, 10.0), run_of(4000, 10.0, from_store=9000), {}], ids=str
)
def test_a_run_that_tells_no_speed_is_not_remembered(base: BaseModel, timings: dict[str, float], cache: Path) -> None:
    remember_speed(base, SETTINGS, timings)
    assert not cache.exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[[]]", '{"a": 1}', '[["a", "b", 1, -2]]', '[["a", "b", 1, NaN]]', "[[1, 2, 3, 4]]", "[" * 100_000],
    ids=lambda text: text[:20],
)
def test_a_damaged_file_is_no_file(base: BaseModel, cache: Path, text: str) -> None:
    cache.mkdir()
    (cache / "speeds.json").write_text(text)
    assert known_speed(base, SETTINGS) is None
    remember_speed(base, SETTINGS, run_of(4000, 10.0))
    assert known_speed(base, SETTINGS) == Speed(400.0)


def test_a_folder_that_cannot_be_written_costs_nothing(base: BaseModel, cache: Path) -> None:
    cache.write_text("a file stands where the folder would")
    remember_speed(base, SETTINGS, run_of(4000, 10.0))
    assert known_speed(base, SETTINGS) is None


def test_nothing_is_kept_where_the_store_is_off(base: BaseModel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAY_GGUF_STORE", "off")
    remember_speed(base, SETTINGS, run_of(4000, 10.0))
    assert not cache.exists()


@pytest.mark.parametrize(
    ("tokens", "speed", "words"),
    [
        (122_837, Speed(381.4), "About 5 min at 380 tokens/s, as last measured."),
        (1200, Speed(42.3), "About 28 s at 42 tokens/s, as last measured."),
        (
            30_000,
            Speed(4.56, guessed=True),
            "Not measured yet for this base; about 1.8 h at 4.6 tokens/s, guessed from another base's speed here and "
            "its size.",
        ),
        (
            30_000,
            None,
            "How long that takes is not known yet for this base: a run measures it, and --budget 5m keeps to a time.",
        ),
    ],
)
def test_the_words_say_how_it_is_known(tokens: int, speed: Speed | None, words: str) -> None:
    assert time_line(tokens, speed) == words


def test_a_plan_has_seconds_where_it_has_a_speed() -> None:
    plan = Plan({}, (), None, 3, 4, {"base": 100, "null": 500}, least=300, speed=Speed(20.0))
    assert plan.seconds == 15.0
    assert Plan({}, (), None, 3, 4, {"base": 100}).seconds is None
