"""Which model was assigned to a request or a user, remembered for the feedback that comes later.

With it the bucket of the flag's hash that the user is in: feedback on a request does not name the user. An id
that the service makes carries both, so that any worker of any host can tell it, however late:

    <what makes it unique>.<bucket, 2 hexadecimal digits>-<letter of the model><10 that prove it>

Ids of clients, users, and which outcomes were told are in a memory that the workers of a service share. The
master makes it before it forks, so that it does not matter which worker gets a feedback. It is of fixed size
and holds hashes only: now and then a newer entry takes the place of an older one. It ends with the service.
"""

import hmac
import re
from hashlib import blake2b
from typing import NamedTuple

from common.names import Model
from service.workers.shared_words import SharedWords

SLOTS = 2**20  # 8 MiB; 90% of the entries outlive 110,000 newer ones, 37% a million
_VALUES = 0xFF
_LETTERS = {Model.CHAMPION: "a", Model.CHALLENGER: "b"}
_OF_LETTER = {letter: model for model, letter in _LETTERS.items()}
_BUCKET = re.compile(r"\.([0-9a-f]{2})-.\Z")
_PROOF_BYTES = 5  # whoever forges one moves a count by one, as anybody can who may send feedback


class Assigned(NamedTuple):
    """Which model was assigned, to a user of which bucket, from 1 to 100; None in an id of before."""

    model: Model
    bucket: int | None

    @property
    def number(self) -> int:
        """From 1 on, below 256."""
        return 2 * (self.bucket or 0) + (1 if self.model is Model.CHAMPION else 2)

    @classmethod
    def of(cls, number: int) -> "Assigned":
        """The assignment of that number."""
        return cls(Model.CHAMPION if number % 2 else Model.CHALLENGER, (number - 1) // 2 or None)


class RequestIds:
    """Signs ids with a secret that the workers share; services that share feedback need the same one."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, unique: str, assigned: Assigned) -> str:
        """`unique` with `assigned` in it."""
        bucket = f".{assigned.bucket:02x}" if assigned.bucket else ""
        marked = f"{unique}{bucket}-{_LETTERS[assigned.model]}"
        return marked + self._proof(marked)

    def assigned(self, request_id: str) -> Assigned | None:
        """Who was assigned, by an id that `sign` made; None for any other."""
        marked, proof = request_id[: -2 * _PROOF_BYTES], request_id[-2 * _PROOF_BYTES :]
        if marked[-2:-1] != "-" or not hmac.compare_digest(proof.encode(), self._proof(marked).encode()):
            return None
        model, bucket = _OF_LETTER.get(marked[-1:]), _BUCKET.search(marked)
        return Assigned(model, int(bucket[1], 16) if bucket else None) if model else None

    def _proof(self, marked: str) -> str:
        digest = blake2b(
            marked.encode(), key=self._secret, digest_size=_PROOF_BYTES, person=b"canario-request"
        )
        return digest.hexdigest()


class Table:
    """Small numbers by text, shared by this process and those forked from it after it was made.

    One slot is one 64-bit word, hash and value in one: a write is never seen half.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        if slots.bit_count() != 1:
            raise ValueError(f"{slots} is no power of two")
        self._mask = slots - 1
        self._shared = SharedWords("canario-memory", slots)

    def put(self, text: str, value: int) -> None:
        """Remember `value`, 1 to 255, for `text`."""
        word, slot = self._place(text)
        self._shared.words[slot] = word | value

    def get(self, text: str) -> int | None:
        """The value for `text`; None when it was never put, or has been forgotten."""
        word, slot = self._place(text)
        found = self._shared.words[slot]
        return found & _VALUES if found & ~_VALUES == word and found & _VALUES else None

    def add(self, text: str) -> bool:
        """Remember `text`; False when it was there already. Of several callers at once, one gets True."""
        with self._shared.locked():
            if self.get(text) is not None:
                return False
            self.put(text, 1)
            return True

    def _place(self, text: str) -> tuple[int, int]:
        hashed = int.from_bytes(self._shared.hash(text.encode(), digest_size=8).digest(), "little")
        return hashed & ~_VALUES, (hashed >> 2) & self._mask


class Tables(NamedTuple):
    """Who was assigned by request id and by user, and which outcomes were told."""

    requests: Table
    users: Table
    told: Table


_shared: list[Tables] = []


def share() -> None:
    """Make the tables of all workers; called once, in gunicorn's master."""
    _shared.append(Tables(Table(), Table(), Table()))


class Memory:
    """What the workers of a service remember together; without a master, this process alone.

    Args:
        secret: see RequestIds.
    """

    def __init__(self, secret: bytes) -> None:
        self._ids = RequestIds(secret)
        self._tables = _shared[0] if _shared else Tables(Table(), Table(), Table())

    def remember(self, request_id: str, is_ours: bool, user_id: str, assigned: Assigned) -> str:
        """Remember an assignment; the id under which feedback can name the request.

        Args:
            is_ours: whether the service made `request_id`. Such an id gets the assignment into it; a client's
                stays as it is, and is remembered.
        """
        self._tables.users.put(user_id, assigned.number)
        if is_ours:
            return self._ids.sign(request_id, assigned)
        self._tables.requests.put(request_id, assigned.number)
        return request_id

    def of_request(self, request_id: str) -> Assigned | None:
        """Who was assigned to the request; None when nobody knows."""
        number = self._tables.requests.get(request_id)
        return Assigned.of(number) if number else self._ids.assigned(request_id)

    def of_user(self, user_id: str) -> Assigned | None:
        """Who was assigned last to the user; None when nobody knows."""
        number = self._tables.users.get(user_id)
        return Assigned.of(number) if number else None

    def is_new(self, request_id: str, outcome: str) -> bool:
        """Whether this outcome of the request is told for the first time; it is remembered."""
        # A line break is in neither, so different pairs are different texts.
        return self._tables.told.add(f"{request_id}\n{outcome}")
