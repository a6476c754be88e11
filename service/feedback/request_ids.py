"""Request ids that carry the assignment, so that any worker of any host can tell it, however late.

<what makes it unique>-<letter of the model><10 hexadecimal digits that prove it>
"""

import hmac
from hashlib import blake2b

from common.names import Model

_LETTERS = {Model.CHAMPION: "a", Model.CHALLENGER: "b"}
_MODELS = {letter: model for model, letter in _LETTERS.items()}
_PROOF_BYTES = 5  # whoever forges one moves a count by one, as anybody can who may send feedback


class RequestIds:
    """Signs ids with a secret that the workers share; services that share feedback need the same one."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, unique: str, assigned: Model) -> str:
        """`unique` with `assigned` in it."""
        marked = f"{unique}-{_LETTERS[assigned]}"
        return marked + self._proof(marked)

    def assigned(self, request_id: str) -> Model | None:
        """Who was assigned, by an id that `sign` made; None for any other."""
        marked, proof = request_id[: -2 * _PROOF_BYTES], request_id[-2 * _PROOF_BYTES :]
        if marked[-2:-1] != "-" or not hmac.compare_digest(proof.encode(), self._proof(marked).encode()):
            return None
        return _MODELS.get(marked[-1:])

    def _proof(self, marked: str) -> str:
        digest = blake2b(
            marked.encode(), key=self._secret, digest_size=_PROOF_BYTES, person=b"canario-request"
        )
        return digest.hexdigest()
