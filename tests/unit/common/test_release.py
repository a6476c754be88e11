"""Which changes of roles there are, and which there are not."""

import pytest

from common.release import (
    KEPT_CHANGES,
    Entry,
    Note,
    Release,
    ReleaseError,
    challenged,
    installed,
    promoted,
    restored,
    settled,
    taken_back,
)

NOTE = Note("ada", "because")


def entry(name: str) -> Entry:
    return Entry(folder=name, name=name, version="1", sha256=name.encode().hex().ljust(64, "0"))


A, B, C = entry("a"), entry("b"), entry("c")


@pytest.fixture
def release() -> Release:
    return installed(A, B, NOTE)


def names(release: Release) -> tuple[str, str | None, str | None]:
    roles = release.roles
    return (
        roles.champion.name,
        roles.challenger.name if roles.challenger else None,
        roles.previous.name if roles.previous else None,
    )


def test_a_promotion_keeps_the_champion_and_leaves_no_challenger(release: Release) -> None:
    after = promoted(release, NOTE, 100)
    assert names(after) == ("b", None, "a")
    assert (after.revision, after.roles.settled, after.last.share) == (2, False, 100)
    assert (after.last.kind, after.last.by, after.last.reason) == ("promoted", "ada", "because")


def test_the_way_back_leaves_no_challenger_either_and_cannot_go_forth_again(release: Release) -> None:
    after = taken_back(promoted(release, NOTE), NOTE)
    assert names(after) == ("a", None, None)
    with pytest.raises(ReleaseError, match="no previous champion"):
        taken_back(after, NOTE)


def test_the_way_back_takes_a_later_challenger_along(release: Release) -> None:
    later = challenged(settled(promoted(release, NOTE)), C, NOTE)
    assert names(later) == ("b", "c", "a")
    assert names(taken_back(later, NOTE)) == ("a", None, None)


def test_without_a_challenger_there_is_nothing_to_promote(release: Release) -> None:
    with pytest.raises(ReleaseError, match="no challenger"):
        promoted(promoted(release, NOTE), NOTE)


def test_a_new_challenger_waits_until_the_flag_is_at_0(release: Release) -> None:
    unsettled = promoted(release, NOTE)
    with pytest.raises(ReleaseError, match="not finished"):
        challenged(unsettled, C, NOTE)
    assert names(challenged(unsettled, None, NOTE)) == ("b", None, "a"), "none does no harm"
    assert names(challenged(settled(unsettled), C, NOTE)) == ("b", "c", "a")


def test_what_is_settled_has_the_same_revision_and_cannot_be_restored(release: Release) -> None:
    done = settled(promoted(release, NOTE))
    assert done.revision == 2
    with pytest.raises(ReleaseError, match="finished"):
        restored(done, NOTE)


def test_a_refused_change_is_undone_by_a_new_revision(release: Release) -> None:
    again = restored(promoted(release, NOTE), NOTE)
    assert again.roles == release.roles
    assert again.revision == 3
    assert again.before is None


def test_history_is_kept_but_not_for_ever(release: Release) -> None:
    for _ in range(2 * KEPT_CHANGES):
        release = challenged(release, C, NOTE)
    assert len(release.history) == KEPT_CHANGES
    assert Release.model_validate_json(release.model_dump_json()) == release


@pytest.mark.parametrize("folder", ["", ".", "..", "../x", "/etc", "a/b", ".hidden", "a" * 256])
def test_a_role_cannot_name_a_folder_elsewhere(folder: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        A.model_validate({**A.model_dump(), "folder": folder})
