"""A plan whose next stage is always about to begin."""

from flags.rollout.readings import Readings
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import Rollout, Situation

COUNTRY = {"contextName": "country", "operator": "IN", "values": ["NO"]}
PLAN = RolloutPlan.model_validate(
    {"begin": "by_itself", "stages": [{"share": share, "least": "200ms"} for share in (1, 5, 25, 50, 100)]}
)


class OpenGates(Rollout):
    """Gates that ask Prometheus are open at once, so that the next step is always about to be taken."""

    def measure(self, seen: Situation) -> Readings:
        return Readings(
            version="1 abc",
            judged_version="1 abc",
            last_pass=seen.now,
            judged=10**9,
            champion_requests=1000,
            challenger_requests=1000,
        )
