"""How much memory the process of a challenger is granted."""

import dataclasses

from service.models.artifact import load_artifact
from service.models.lineup import MEBIBYTE, memory_bytes
from service.settings import Settings


def test_a_large_challenger_gets_more_memory_by_itself_and_what_is_set_holds(settings: Settings) -> None:
    small = load_artifact(settings.challenger) if settings.challenger else None
    assert small
    assert memory_bytes(settings, small) == 1024 * MEBIBYTE
    large = dataclasses.replace(small, onnx=bytes(154_000_000))
    # A forest of 69 MB was seen to take 842 MB, 11 times its size beside what Python and ONNX Runtime take.
    assert memory_bytes(settings, large) > 12 * 154_000_000
    of_people = settings.model_copy(update={"guest_memory_mb": 300})
    assert memory_bytes(of_people, large) == 300 * MEBIBYTE
