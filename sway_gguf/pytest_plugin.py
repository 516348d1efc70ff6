"""The pytest plugin: one item for each axis, probe and limit of a suite, and the model as a fixture.

Loaded by every pytest of an environment, so it imports nothing of ours until a test asks for it. Knows pytest; what a
suite is and who runs it stands in `api.testing`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from inspect import isfunction
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sway_gguf.api.testing import Answered, Suites
    from sway_gguf.engine.doors import DoorBackend

MARK = "sway_gguf"
_HELP = (
    "sway_gguf(spec=None, result=None, require=None, strict=False, **options): an item for each axis, probe and limit "
    "of the suite of a sway.yaml, or of a result.json; an axis of `require` must be answered; with `strict` what is "
    "inconclusive fails instead of being skipped; max_loss, min_lift, threshold and baseline as `gate` has them; other "
    "options, such as nulls=5, take the place of what the spec says"
)
_SUITES: pytest.StashKey[Suites] = pytest.StashKey()


class AdapterWarning(UserWarning):
    """An axis or a probe came out as WARN."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The files of `sway_backend`."""
    parser.addini("sway_gguf_base", "base GGUF of the fixture sway_backend, from the folder of this file", default="")
    parser.addini("sway_gguf_adapter", "LoRA GGUF or PEFT folder of the fixture sway_backend, likewise", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _HELP)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Give every marked test the fixture, which it need not name."""
    if not isfunction(obj) or not name.startswith("test"):
        return
    own = getattr(obj, "pytestmark", [])
    if any(mark.name == MARK for mark in own) or collector.get_closest_marker(MARK):
        pytest.mark.usefixtures("sway_answer")(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An item for each axis and probe of the suite that a test is marked with."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None:
        return
    from sway_gguf.api.testing import asked_by
    from sway_gguf.errors import UserError

    config = metafunc.config
    try:
        suite = asked_by(mark.args, mark.kwargs, (metafunc.definition.path.parent, config.rootpath))
        subjects = suite.subjects()
    except UserError as error:
        raise pytest.Collector.CollectError(f"sway_gguf: {error}") from None
    # With --dist loadgroup a suite stays on one worker; with any other, its workers wait for the one that runs it.
    marks = [pytest.mark.xdist_group(suite.digest)] if config.pluginmanager.hasplugin("xdist") else []
    metafunc.parametrize(
        "sway_answer",
        [pytest.param((suite, subject), id=subject, marks=marks) for subject in subjects],
        indirect=True,
    )


@pytest.fixture
def sway_answer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    """How this item's axis or probe came out; `.result` has all of the run."""
    from sway_gguf.api.testing import Suites
    from sway_gguf.errors import EngineError, UserError

    if not hasattr(request, "param"):
        pytest.fail("sway_answer is for tests marked with sway_gguf(spec=…)", pytrace=False)
    config, (suite, subject) = request.config, request.param
    if _SUITES not in config.stash:
        mine = tmp_path_factory.getbasetemp()
        config.stash[_SUITES] = Suites(mine.parent if hasattr(config, "workerinput") else mine)
    try:
        answered = config.stash[_SUITES].answered(suite, subject)
    except (UserError, EngineError) as error:
        pytest.fail(f"sway_gguf: {error}", pytrace=False)
    if answered.is_error:
        pytest.fail(str(answered), pytrace=False)
    return answered


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Let the item come out as its axis or probe did, before the test's own lines are run."""
    if pyfuncitem.get_closest_marker(MARK) is None:
        return
    answered: Any = pyfuncitem.funcargs.get("sway_answer")
    if answered.fails:
        pytest.fail(str(answered), pytrace=False)
    if answered.is_open:
        pytest.skip(str(answered))
    if answered.warns:
        warnings.warn(AdapterWarning(str(answered)), stacklevel=1)


@pytest.fixture(scope="session")
def sway_backend(request: pytest.FixtureRequest) -> Iterator[DoorBackend]:
    """The model, loaded once: of the ini options sway_gguf_base and sway_gguf_adapter, or of the one spec marked."""
    from sway_gguf.api.testing import opened
    from sway_gguf.errors import EngineError, UserError

    config = request.config
    base, adapter = (config.getini(f"sway_gguf_{role}") for role in ("base", "adapter"))
    folder = config.inipath.parent if config.inipath else config.rootpath
    marked = [
        (mark.args, mark.kwargs, (item.path.parent, config.rootpath))
        for item in request.session.items
        if (mark := item.get_closest_marker(MARK))
    ]
    try:
        backend = opened(folder, base, adapter, marked)
    except (UserError, EngineError) as error:
        pytest.fail(f"sway_gguf: {error}", pytrace=False)
    with backend:
        yield backend
