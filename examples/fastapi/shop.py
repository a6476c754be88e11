"""A shop that ranks its products by one of two rankers, and knows nothing of Canario.

Unleash says by the flag `ranker-v2` which ranker a user gets, always the same one. Requests, their times and
orders are counted for Prometheus under the variant that the flag chose, also where it failed.

    UNLEASH_URL=http://127.0.0.1:4242/api UNLEASH_TOKEN=... uvicorn shop:app --port 8200
"""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from UnleashClient import UnleashClient

CONTROL, CHALLENGER = "control", "ranker-v2"
PRODUCTS = {"tea": (4.5, 310), "coffee": (9.0, 240), "honey": (7.2, 95), "mill": (48.0, 31)}
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)

REQUESTS = Counter("shop_requests", "Rankings by the variant that the flag chose.", ["variant", "status"])
SECONDS = Histogram("shop_request_duration_seconds", "How long they took.", ["variant"], buckets=BUCKETS)
ORDERS = Counter("shop_orders", "What users did with a ranking.", ["variant", "kind"])

unleash = UnleashClient(
    url=os.environ["UNLEASH_URL"],
    app_name="shop",
    custom_headers={"Authorization": os.environ["UNLEASH_TOKEN"]},
    refresh_interval=3,  # how soon users follow the flag
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Follow Unleash while the service runs."""
    unleash.initialize_client()
    yield
    unleash.destroy()


app = FastAPI(title="Shop", lifespan=lifespan)
app.state.fault = "none"  # for the demonstration: what befalls the challenger


def variant_of(user: str) -> str:
    """Which ranker the flag gives the user; the old one where Unleash was never heard."""
    return CHALLENGER if unleash.is_enabled("ranker-v2", {"userId": user}) else CONTROL


@contextmanager
def counted(variant: str) -> Iterator[None]:
    """Count a request, also one that fails, and how long it took."""
    begun, status = time.perf_counter(), 500
    try:
        yield
        status = 200
    except HTTPException as error:
        status = error.status_code
        raise
    finally:
        SECONDS.labels(variant).observe(time.perf_counter() - begun)
        REQUESTS.labels(variant, str(status)).inc()


def ranked(variant: str) -> list[str]:
    """The products, the best first: the most sold ones, or those that bring most money."""
    if variant == CONTROL:
        return sorted(PRODUCTS, key=lambda name: -PRODUCTS[name][1])
    if app.state.fault == "slow":
        time.sleep(0.5)
    if app.state.fault == "error":
        raise HTTPException(500, "the ranker failed")
    return sorted(PRODUCTS, key=lambda name: -PRODUCTS[name][0] * PRODUCTS[name][1])


@app.get("/products")
def products(user: str) -> dict[str, object]:
    """The products in the order for this user."""
    variant = variant_of(user)
    with counted(variant):
        return {"variant": variant, "products": ranked(variant)}


@app.post("/orders")
def order(user: str, kind: Literal["bought", "returned"] = "bought") -> None:
    """What became of a ranking."""
    ORDERS.labels(variant_of(user), kind).inc()


@app.put("/fault/{kind}")
def break_challenger(kind: Literal["none", "slow", "error"]) -> None:
    """For the demonstration alone: let the challenger be slow, or fail."""
    if os.environ.get("SHOP_FAULTS") != "on":
        raise HTTPException(404)
    app.state.fault = kind


@app.get("/metrics")
def metrics() -> Response:
    """For Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
