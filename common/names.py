"""Names of metrics and labels, defined once: telemetry, guardrails, rules and tests take them from here.

Metrics follow the Prometheus conventions: seconds, `_total` for counters, timestamps instead of ages. Where
something is decided by an age there is `..._ago_seconds` too, made at each scrape by the monotonic clock.
"""

from enum import StrEnum
from typing import Final


class Model(StrEnum):
    """The two roles of a model, and the values of the label `model`."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


class Metric(StrEnum):
    """Metrics that the service exposes."""

    PREDICTIONS = (
        "predictions_total"  # {model, class}: answers that reached a user, by the model that gave them
    )
    CALLS = (
        "model_calls_total"  # {model}: requests for which it was asked, or was not since it had failed before
    )
    SCORES = "answer_scores_total"  # {model, part}: answers to users by part of the champion's usual scores
    LATENCY = "latency_seconds"  # histogram {model}: every call that the model finished, also a failed one
    ERRORS = "prediction_errors_total"  # {model, reason}: calls that brought no usable answer in time
    USER_WINDOWS_BAD = "user_windows_bad_total"  # {model}: first error of a user in each ten minutes
    BUCKET_CALLS = "bucket_calls_total"  # {model, bucket}: calls, by bucket of the flag's hash (1 to 100)
    BUCKET_USER_WINDOWS_BAD = "bucket_user_windows_bad_total"  # {model, bucket}: user_windows_bad by bucket
    SEGMENT_CALLS = "segment_calls_total"  # {model, property, value}: calls by a property of the context
    SEGMENT_ERRORS = "segment_errors_total"  # {model, property, value}: those that brought no usable answer
    SEGMENT_USER_WINDOWS_BAD = "segment_user_windows_bad_total"  # {model, property, value}: user_windows_bad
    SEGMENT_GROUP_CALLS = "segment_group_calls_total"  # {model, property, value, group}: the champion's
    SEGMENT_GROUP_USER_WINDOWS_BAD = "segment_group_user_windows_bad_total"  # the same of user_windows_bad
    USER_WINDOWS_DROPPED = "user_windows_dropped_total"  # bad calls for whose users there was no room
    PREVENTED = (
        "challenger_calls_prevented_total"  # {reason}: requests that never reached it because of the host
    )
    ASSIGNMENTS = "assignments_total"  # {model, reason}: users' requests by the model that the flag wanted
    PROXY_ASSIGNMENTS = "proxy_assignments_total"  # {model, reason}: answers of /assign, which a proxy asks
    MODEL_INFO = "model_info"  # {model, name, version, sha256}: 1 while a worker serves it, 0 afterwards
    ROLLOUT_INFO = "rollout_info"  # {flag, environment}: 1 for the flag that gives users the challenger
    MODELS_REVISION = "models_revision"  # of roles.json, as the worker serves it that is furthest behind
    MODEL_RELOADS = "model_reloads_total"  # times that a worker took new models while it ran
    MODEL_RELOAD_FAILURES = "model_reload_failures_total"  # {reason}: times that it refused them
    FLAG_FETCHED = "flag_state_fetched_timestamp_seconds"  # when the oldest worker last heard from Unleash
    FLAG_FETCHED_AGO = "flag_state_fetched_ago_seconds"  # since then, by a clock that nobody sets
    FLAG_KNOWN = "flag_known"  # {flag}: 1 where Unleash knows the flag, 0 where it is missing or archived
    UNCOUNTED_WORKERS = "workers_uncounted"  # workers without room to count in, whose metrics nobody sees
    BREAKER_OPEN = "challenger_breaker_open"  # workers whose breaker turns calls of the challenger away
    CHALLENGER_DOWN = "challenger_down"  # workers in which it is wanted and does not run
    GUEST_STARTS = "challenger_starts_total"  # starts of the challenger's process
    CHALLENGER_STARTED = "challenger_started_timestamp_seconds"  # the last of them, of all workers; 0: none
    OUTCOMES = "outcomes_total"  # {model, outcome}: feedback by the model that was assigned (or unknown)
    BUCKET_OUTCOMES = "bucket_outcomes_total"  # {model, outcome, bucket}: those by bucket of the flag's hash
    OUTCOMES_UNNAMED = "outcomes_unnamed_total"  # {reason}: feedback that is counted as other
    LOG_RECORDS = "log_records_total"  # {kind}: records that the prediction log has written
    LOG_DROPS = "log_drops_total"  # {reason}: records that it has lost
    IN_FLIGHT = "challenger_calls_in_flight"  # calls of the challenger that have not come back yet
    SHADOW_SAMPLES = "shadow_samples_total"  # requests of the champion that the challenger answered too
    SHADOW_AGREEMENTS = "shadow_agreements_total"  # of those, the ones for which both chose the same
    SHADOW_OUTPUT_AGREEMENTS = "shadow_output_agreements_total"  # {output}: of several outputs, of each
    SHADOW_PAIRS = "shadow_pairs_total"  # {order}: pairs of requests, by whether both order them alike
    SHADOW_CLASSES = "shadow_classes_total"  # {class, by}: requests by who chose the class, or both
    SHADOW_SCORES = "shadow_scores_total"  # {by, part}: requests by part of the champion's usual scores
    SHADOW_ERRORS = "shadow_errors_total"  # {reason}: requests to which the challenger gave no usable answer
    SHADOW_DROPS = "shadow_drops_total"  # {reason}: requests that the challenger was to see and did not
    SHADOW_LATENCY = "shadow_latency_seconds"  # histogram: each batch, inside the challenger's process
    SHADOW_QUEUE = "shadow_queue_depth"  # samples that waited when the last batch was begun


class JobMetric(StrEnum):
    """Metrics that the rollback job exposes about itself."""

    PASSES = "rollback_passes_total"  # {outcome}: passes by what they came to
    LAST = "rollback_last_pass_timestamp_seconds"  # when the last pass ended
    LAST_AGO = "rollback_last_pass_ago_seconds"  # since then, or since the start
    LAST_MEASURED = "rollback_last_measured_timestamp_seconds"  # the last that could measure all it had to
    LAST_MEASURED_AGO = "rollback_last_measured_ago_seconds"  # since then, or since the start
    DURATION = "rollback_pass_seconds"  # duration of the last pass
    ROLLOUT_BROKEN = "rollback_rollout_broken"  # {rollout}: 1 where its file does not fit
    BLIND_LIMIT = "rollback_cannot_measure_limit_seconds"  # how long it may go without measuring
    VERDICT = "rollback_verdict"  # {guardrail, verdict}: 1 for the verdict of the last pass
    GUARDRAIL = "rollback_guardrail_info"  # {guardrail, unit, limit_is}: 1; of value, limit and champion
    BINDING = "rollback_binding"  # {guardrail}: 1 where it holds up a promotion, 0 where it only warns
    JUDGED = "rollback_judged_revision"  # of the flag (Unleash's event id), that the last pass judged
    JUDGED_MODEL = "rollback_judged_model_info"  # {version, sha256}: 1 for the challenger that it judged
    LOG_E = "rollback_log_e"  # {guardrail}: evidence against the challenger, of sequential guardrails
    LOG_E_LIMIT = "rollback_log_e_limit"  # {guardrail}: the evidence at which they are breached
    VALUE = "rollback_value"  # {guardrail}: what was judged
    LIMIT = "rollback_limit"  # {guardrail}: its limit
    WARM_UP = "rollback_warm_up_seconds"  # {guardrail}: left out of the stage, since it was warming up
    WARM_UP_START = "rollback_warm_up_start_timestamp_seconds"  # {guardrail}: the last start of these
    CHAMPION = "rollback_champion"  # {guardrail}: the champion by the same measure
    DIFFERENCE_LOW = (
        "rollback_difference_low"  # {guardrail}: of challenger - champion, the interval's lower end
    )
    DIFFERENCE_HIGH = "rollback_difference_high"  # {guardrail}: its upper end
    SAMPLE = "rollback_sample"  # {guardrail}: calls under the value
    WINDOW = "rollback_window_seconds"  # {guardrail}: of when they are
    ROLLBACKS = "rollback_orders_total"  # {guardrail, verified}: orders to turn the flag off
    EXCLUSIONS = "rollback_exclusions_total"  # {guardrail}: segments that were excluded in place of that
    UNVERIFIED = "rollback_unverified"  # 1 while a rollback is due and the flag is not known to be off
    TO_OFF = "rollback_breach_to_off_seconds"  # of the last rollback; NaN where it is not known
    TO_STOP = "rollback_breach_to_stop_seconds"  # of the last rollback, once the stop was seen
    STOP = "rollback_stop"  # {state}: 1 for what was last seen of the challenger's stop
    STOP_UNVERIFIED = "rollback_stop_unverified"  # 1 while it is not seen to stop, and the limit is over
    NOTIFICATIONS = "rollback_notifications_total"  # {channel}: messages that were sent
    NOTIFICATIONS_FAILED = "rollback_notifications_failed_total"  # {channel}: messages that were not
    DECISIONS_FAILED = "rollback_decisions_failed_total"  # decisions that could not be kept
    FLAG_SHARE = (
        "rollback_flag_share"  # {flag}: part of the users that it wants the challenger for; 0 where off
    )
    FLAG_CHANGED = "rollback_flag_changed_timestamp_seconds"  # {flag, by}: its last change in Unleash
    LEASE_END = "rollback_lease_end_timestamp_seconds"  # {flag}: when users lose the challenger by themselves
    LEASE_RENEWAL = (
        "rollback_lease_renewal_seconds"  # what is left of a lease when it is renewed; 0: none are
    )


class PlanMetric(StrEnum):
    """Metrics that the rollout job exposes about itself."""

    LAST = "rollout_last_step_timestamp_seconds"  # when it last saw where the rollout stands
    ROLLOUT_BROKEN = "rollout_plan_broken"  # {rollout}: 1 where its file does not fit
    STEPS = "rollout_steps_total"  # {kind}: steps by what they came to; failed: it could not tell


class MeshMetric(StrEnum):
    """Metrics that the job exposes whose routes follow the flags."""

    WANTED = "mesh_wanted_percent"  # the challenger's share that the flag wants; NaN until it is known
    WEIGHT = "mesh_challenger_weight"  # {route, rule}: as it was read last, of 100
    MIRROR = "mesh_mirror_percent"  # {route, rule}: requests that are copied, as it was read last
    CHANGES = "mesh_weight_changes_total"  # {route, cause}: changes, by what they were for
    EDITS = "mesh_weight_edits_total"  # {route}: times that somebody else had changed weights
    FAILURES = "mesh_failures_total"  # {route}: iterations in which it could not follow
    HELD = "mesh_weights_held"  # {route}: 1 where endpoints or a mirror keep it from the flag
    LAST = "mesh_last_followed_timestamp_seconds"  # {route}: when it was last seen to be as it should
    LEADER = "mesh_leader"  # 1 where this process writes, 0 where another does
    ROLLOUT_BROKEN = "mesh_rollout_broken"  # {rollout}: 1 where its file does not fit


class TokenMetric(StrEnum):
    """What both jobs expose about their token of Unleash."""

    ENDS = "unleash_token_end_timestamp_seconds"  # when it ends
    USABLE = "unleash_token_usable"  # 1 where Unleash lets the job do its work, 0 where it refuses


class Recorded(StrEnum):
    """Series that the recording rules of monitoring/ make of the service's, for each rollout."""

    ERROR_RATE = "error_rate"  # {rollout, model}: share of calls that failed, 5 m
    REQUEST_RATE = "model_requests:rate1m"  # {rollout, model}: answers a second
    LATENCY_P50 = "latency_seconds:p50"  # {rollout, model}: seconds, 5 m
    LATENCY_P99 = "latency_seconds:p99"  # {rollout, model}: seconds, 5 m
    FLAG_AGE = "flag_state_age_seconds"  # {rollout}: seconds since the oldest worker heard from Unleash
    CHALLENGER_SHARE = "challenger_share"  # {rollout}: part of the answers that the challenger gave, 5 m
    AGREEMENT_RATE = "agreement_rate"  # {rollout}: part of the shadow samples on which both agreed, 5 m


MOST_SEGMENTS: Final = 20
"""Values of one property that are counted, and judged, by themselves."""
OTHER_SEGMENT: Final = "other"
"""All that have none of them."""


def latency_buckets() -> tuple[float, ...]:
    """Upper edges in seconds from 0.1 ms to 10 s, each at most 1.2 times the one before.

    A factor of 1.2 keeps the error of a p99 within 2%; with the client's defaults a true ratio of 1.2
    between two models reads 1.049 (docs/decisions/0005-metrics.md).
    """
    steps = 64  # the least number for which (10 / 0.0001) ** (1 / steps) <= 1.2
    return tuple(round(0.0001 * (10 / 0.0001) ** (step / steps), 9) for step in range(steps + 1))
