"""Promises of those that ask for more than pixels or text: sound, or the file itself."""

from __future__ import annotations

import numpy as np

from materials.errors import Permanent, Rejected
from model_plugins.conformance.base import Suite, refusal, same
from model_plugins.conformance.odd_media import encoded, noise_of
from model_plugins.conformance.prepare_promises import FITS
from model_plugins.conformance.promises import DoesNotApply, broken, demand, described, promise
from model_plugins.conformance.stand_in import Arrays
from model_plugins.protocol import DecodesOnServer, Example, VideoMedia

GARBAGE = {
    "an empty file": b"",
    "a file of one byte": b"\xff",
    "a file of noise": np.random.default_rng(3).bytes(4096),
    "a JPEG that ends after its header": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00",
}


class MediaPromises(Suite):
    """Each applies only where the manifest or the class declares it."""

    @promise(
        "a video without sound is taken; and only a plug-in that declares `hears` lets the sound decide",
        see="`hears`: True when `prepare` of a video needs its sound.",
        change="set hears=True in the manifest when the sound is used, and return None where media.sound is None",
        needs=(FITS,),
    )
    def test_sound_is_used_as_declared(self) -> None:
        self.needs_prepare()
        if self.manifest.media != "video":
            raise DoesNotApply("only videos have sound")
        for example in self.examples():
            media = example.media
            assert isinstance(media, VideoMedia)  # noqa: S101 - test_has_examples
            clip = (media.frames, media.times, media.duration, media.width, media.height)
            silent = self._taken(Example(f"{example.title}, without sound", VideoMedia(*clip)))
            if not self.manifest.hears:
                loud = self._taken(Example(f"{example.title}, with noise", VideoMedia(*clip, noise_of(media.duration))))
                difference = same(silent, loud)
                demand(
                    not difference, f"the sound changes the tensors, but hears is False: {difference}", example.title
                )

    @promise(
        "prepare_encoded takes the bytes of any file: tensors that fit the model, None, or Rejected",
        see="`prepare_encoded` is called instead of `prepare`, with the bytes of the file",
        change="do not decode: np.frombuffer(data, np.uint8)[None]; refuse only what is empty",
        needs=("test_has_examples", "test_model_is_sound", "test_capabilities_are_sound"),
    )
    def test_encoded_files_are_taken(self) -> None:
        if not isinstance(self.plugin, DecodesOnServer):
            raise DoesNotApply("it does not decode on the server")
        files = {e.title: data for e in self.examples() if (data := encoded(e.media)) is not None}
        demand(files, "no example can be written as a file", change="give an example with pixels")
        for title, data in {**files, **GARBAGE}.items():
            first, second = (self._encoded(title, data) for _ in "ab")
            difference = same(first, second)
            demand(not difference, f"called again, prepare_encoded gives other tensors: {difference}", title)
            demand(title not in files or first is not None, "prepare_encoded gives nothing for a sound file", title)

    def _encoded(self, title: str, data: bytes) -> Arrays | None:
        assert isinstance(self.plugin, DecodesOnServer)  # noqa: S101 - asked before
        try:
            tensors = self.call("prepare_encoded", title, self.plugin.prepare_encoded, data)
        except Rejected as error:
            refusal(error)
            return None
        except Exception as error:
            broken(f"prepare_encoded raised {described(error)}", title)
        return None if tensors is None else self.is_prepared(tensors, title)

    def _taken(self, example: Example) -> Arrays | None:
        try:
            tensors = self.prepare(example)
        except Permanent as error:
            demand(str(error), "it was refused without a message", example.title)
            return None
        except Exception as error:
            broken(f"prepare raised {described(error)}", example.title)
        return None if tensors is None else self.is_prepared(tensors, example.title)
