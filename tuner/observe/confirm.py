"""Acknowledgements read from the pods themselves while a change is pending, instead of waiting for the next scrape."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tuner.observation import Absent, Acknowledgement, Maybe
from tuner.observe.pods import KNOBS_INFO, parse_claims
from tuner.workload import Pod

TIMEOUT_SECONDS = 2.0
AT_A_TIME = 16


async def confirmations(pods: Iterable[Pod]) -> dict[str, Acknowledgement]:
    """What each pod that answers says it has applied, by UID. Silence confirms nothing and is left out."""
    asked = [pod for pod in pods if pod.metrics_url]
    if not asked:
        return {}
    gate = asyncio.Semaphore(AT_A_TIME)
    # Plain HTTP: an empty context spares loading the trusted certificates at each look.
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=plain, trust_env=False) as client:

        async def ask(pod: Pod) -> tuple[str, Maybe[Acknowledgement]]:
            async with gate:
                return pod.uid, await _ask(client, pod)

        answers = await asyncio.gather(*(ask(pod) for pod in asked))
    return {uid: answer for uid, answer in answers if not isinstance(answer, Absent)}


async def _ask(client: httpx.AsyncClient, pod: Pod) -> Maybe[Acknowledgement]:
    assert pod.metrics_url is not None  # noqa: S101 - the caller chose pods that have one
    try:
        answer = await client.get(pod.metrics_url)
    except httpx.HTTPError as error:
        return Absent(f"{pod.metrics_url} did not answer: {error}")
    if answer.status_code != httpx.codes.OK:
        return Absent(f"{pod.metrics_url} answered HTTP {answer.status_code}")
    return claim_of(pod.uid, answer.text)


def claim_of(uid: str, exposition: str) -> Maybe[Acknowledgement]:
    """The document that the pod `uid` names in its metrics. An address may have passed to another pod: UIDs decide."""
    lines = [line for line in exposition.splitlines() if line.startswith(KNOBS_INFO)]
    try:
        samples = [s for family in text_string_to_metric_families("\n".join(lines) + "\n") for s in family.samples]
    except ValueError as error:
        return Absent(f"its metrics cannot be read: {error}")
    mine = [dict(s.labels) for s in samples if s.value > 0 and s.labels.get("pod_uid") == uid]
    return parse_claims(mine) if mine else Absent(f"{KNOBS_INFO} is missing")
