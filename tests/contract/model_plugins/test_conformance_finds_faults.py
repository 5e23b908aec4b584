"""The conformance suite fails each faulty plug-in for the right reason, and for no other."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any
from unittest import SkipTest

import faulty_plugins as faulty
import pytest

from model_plugins import protocol
from model_plugins.conformance import Limits, PluginConformance, Report, promises, resolve, supervise, target_of
from model_plugins.conformance.promises import where

LIMITS = Limits(seconds=0.6, memory_mib=256)
SOUND = [faulty.Sound, faulty.SoundWithModel, faulty.SoundFusion, faulty.SoundDecoder, faulty.SoundVideo]

FAULTS: dict[type, tuple[str, str]] = {
    faulty.InvalidName: ("manifest-is-sound", "the name is 'Invalid Name'.*small letters, digits and hyphens"),
    faulty.VersionIsText: ("manifest-is-sound", "version is '1'.*a manifest's version is a whole number"),
    faulty.DuplicateName: ("name-is-its-own", "'image-pdq' is the name of model_plugins.builtin.image_pdq:ImagePdq"),
    faulty.RestlessManifest: ("manifest-is-constant", "read twice"),
    faulty.NeedsArguments: ("is-a-plugin", "cannot be loaded: TypeError.*folder"),
    faulty.ForgetsItsOutputs: ("model-is-sound", "stated of none.*model_outputs"),
    faulty.UnknownInputType: ("model-is-sound", "'BYTES' is not supported"),
    faulty.NoExamples: ("has-examples", "examples\\(\\) is empty"),
    faulty.OtherMediumInExamples: ("has-examples", "its medium is a TextMedia, not ImageMedia"),
    faulty.HearsPictures: ("capabilities-are-sound", "it hears, but takes image"),
    faulty.Hangs: ("calls-keep-their-time", "prepare had not come back after .* s of processor time; it was killed"),
    faulty.Sleeps: ("calls-keep-their-time", "prepare had not come back after .* s; it was killed"),
    faulty.EatsMemory: ("calls-keep-their-memory", "prepare (asked for more than|held|ran out of) .*MiB"),
    faulty.Leaks: ("calls-keep-nothing-of-a-material", "memory grows by 3\\d KiB with each material"),
    faulty.Exits: ("calls-come-back", "prepare ended the process \\(exit code 3\\)"),
    faulty.ExitsPolitely: ("calls-come-back", "prepare ended the process \\(exit code 1\\)"),
    faulty.Crashes: ("calls-come-back", "prepare crashed the process \\(SIGSEGV"),
    faulty.CallsHome: ("calls-open-no-connection", "prepare connects to \\('127.0.0.1', 9\\)"),
    faulty.Raises: ("prepare-takes-the-examples", "prepare raised AttributeError.*pixels.* at faulty_plugins.py:"),
    faulty.WrongDtype: ("prepared-tensors-fit-the-model", "as float32 \\[1, 4, 4, 3\\].*takes UINT8 \\[n, 4, 4, 3\\]"),
    faulty.WrongShape: ("prepared-tensors-fit-the-model", "as uint8 \\[4, 4, 3\\].*takes UINT8 \\[n, 4, 4, 3\\]"),
    faulty.GivesLists: ("prepared-tensors-fit-the-model", "'vector' is a list"),
    faulty.Random: ("prepare-is-deterministic", "gives other tensors: 'vector' differs in 16 of 16"),
    faulty.WritesIntoTheMedium: ("prepare-leaves-the-medium-alone", "after prepare the medium is another: 'rgb'"),
    faulty.NeedsWritableMedia: ("prepare-takes-read-only-media", "assignment destination is read-only.* at faulty_"),
    faulty.CrashesOnEmpty: ("an-empty-medium-is-refused-or-passed-over", "prepare raised IndexError"),
    faulty.CrashesOnBanners: ("odd-media-are-handled", "prepare raised IndexError"),
    faulty.HangsOnNoise: ("odd-media-are-handled", "prepare had not come back after .*; it was killed"),
    faulty.ExitsOnOnePixel: ("odd-media-are-handled", "prepare ended the process \\(exit code 0\\)"),
    faulty.NotANumberForBlack: ("odd-media-are-handled", "not finite: 48 of 48 numbers are NaN"),
    faulty.NotANumber: ("interpret-gives-the-declared-feature", "not finite: 16 of 16 numbers are NaN"),
    faulty.OtherSchema: ("interpret-gives-the-declared-feature", "schema is 'bytes'; the manifest declares 'vector'"),
    faulty.DoublePrecision: ("interpret-gives-the-declared-feature", "is float64\\[48\\].*'vector' is float32 \\[d\\]"),
    faulty.ForgetsTheNorm: ("interpret-gives-the-declared-feature", "length is 7.000 to 7.000, not 1"),
    faulty.GivesAnArray: ("interpret-gives-the-declared-feature", "a ndarray came out, no Feature"),
    faulty.WritesIntoOutputs: ("interpret-gives-the-declared-feature", "output array is read-only"),
    faulty.RandomFeature: ("interpret-is-deterministic", "two new instances make different features"),
    faulty.DependsOnTheBatch: ("rows-of-a-batch-are-their-own", "in a batch, the feature is another than alone"),
    faulty.Remembers: ("rows-of-a-batch-are-their-own", "in a batch, the feature is another than alone"),
    faulty.TrustsTheModel: ("interpret-survives-any-outputs", "length is 0.000 to 0.000, not 1"),
    faulty.GrowsWithThePicture: ("embeddings-share-one-space", "3 dimensions, and that of 'a dark picture' has 2"),
    faulty.UntrueExample: ("examples-are-true", "expect says no to float32\\[48\\]"),
    faulty.FusionNeedsAll: ("fuse-gives-the-declared-feature", "fuse raised KeyError"),
    faulty.FusionWithoutNeeds: ("capabilities-are-sound", "needs is \\(\\)"),
    faulty.DecodesEverywhere: ("encoded-files-are-taken", "prepare_encoded raised ValueError"),
    faulty.DecodesWithoutModel: ("capabilities-are-sound", "decodes on the server, but names no model"),
    faulty.HearsSecretly: ("sound-is-used-as-declared", "the sound changes the tensors, but hears is False"),
    faulty.NeedsSound: ("sound-is-used-as-declared", "prepare raised TypeError"),
}


def named(kind: object) -> str | None:
    return getattr(kind, "__name__", None)


@functools.cache
def checked(plugin: type) -> Report:
    return supervise(target_of(plugin), LIMITS)


def told(report: Report) -> str:
    return "; ".join(f"{each.promise}: {each.happened} ({each.example})" for each in report.failures)


@pytest.mark.parametrize("plugin", FAULTS, ids=named)
def test_the_check_finds_the_fault_and_no_other(plugin: type) -> None:
    promise, cause = FAULTS[plugin]
    report = checked(plugin)
    assert not report.passed
    assert [each.promise for each in report.failures] == [promise], told(report)
    [failure] = report.failures
    assert re.search(cause, f"{failure.happened} → {failure.change}"), failure
    assert failure.change
    assert re.match(r'model_plugins/protocol.py:\d+: "', failure.see)


@pytest.mark.parametrize("plugin", SOUND, ids=named)
def test_the_sound_ones_pass(plugin: type) -> None:
    report = checked(plugin)
    assert report.passed, told(report)
    assert report.measured is not None
    assert 0 <= report.measured.memory_mib < LIMITS.memory_mib
    assert 0 <= report.measured.seconds < LIMITS.seconds


@pytest.mark.parametrize(
    "plugin", [*SOUND, faulty.Hangs, faulty.Exits, faulty.WrongDtype, faulty.UntrueExample], ids=named
)
def test_pytest_and_the_check_say_the_same(plugin: type) -> None:
    """An author's class, run as pytest does it: the same promises hold, break and are left unjudged."""
    suite: Any = type("Suite", (PluginConformance,), {"plugin": plugin(), "limits": LIMITS})
    statuses = {}
    for promise in promises():
        try:
            getattr(suite(), promise.test)()
            statuses[promise.name] = "pass"
        except SkipTest:
            statuses[promise.name] = "skipped"
        except AssertionError as error:
            told_all = f"promised: {promise.promised}" in str(error) and "change: " in str(error)
            statuses[promise.name] = "fail" if told_all else str(error)
    report = checked(plugin)
    assert statuses == {each.promise: "pass" if each.status == "n/a" else each.status for each in report.results}


def test_every_promise_is_broken_by_some_plugin() -> None:
    assert {promise for promise, _ in FAULTS.values()} == {promise.name for promise in promises()}


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise.name)
def test_promises_quote_the_protocol(promise: Any) -> None:
    assert promise.see in Path(protocol.__file__).read_text(encoding="utf-8")
    assert re.match(r'model_plugins/protocol.py:\d+: "', where(promise.see))


def test_a_module_that_exits_or_hangs_while_it_is_loaded(tmp_path: Any) -> None:
    for body, cause in {
        "import os; os._exit(4)": "ended the process \\(exit code 4\\)",
        "while True: pass": "importing it had not come back",
        "import no_such_package": "No module named 'no_such_package'.* at loads.py:1",
        "class Loads(:": "SyntaxError",
    }.items():
        (tmp_path / "loads.py").write_text(body + "\n")
        [target] = resolve(f"{tmp_path / 'loads.py'}:Loads")
        report = supervise(target, Limits(load_seconds=3.0))
        assert [each.promise for each in report.failures] == ["is-a-plugin"]
        assert re.search(cause, report.failures[0].happened), report.failures[0]
        assert {each.status for each in report.results[1:]} == {"skipped"}
        told = report.failures[0].change
        assert ("when it is imported" in told) == ("exit" in body or "while" in body), told
