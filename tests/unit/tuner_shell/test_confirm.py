"""An acknowledgement counts only from the very pod, and only when it names one document."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.integration.tuner.exporter import Exporter
from tuner.crds import TuningPolicySpec
from tuner.observation import CHART_DEFAULTS, Absent, Acknowledgement
from tuner.observe.confirm import claim_of, confirmations
from tuner.workload import Pod

EPOCH = "01890a5d-ac96-774b-bcce-b302099a8057"


def info(uid: str, generation: int, value: int = 1) -> str:
    return f'trimtab_knobs_info{{pod_uid="{uid}",epoch="{EPOCH}",generation="{generation}"}} {value}'


def test_the_document_that_the_pod_names() -> None:
    assert claim_of("u", f"# HELP x\nother 3\n{info('u', 7)}\n") == Acknowledgement(EPOCH, 7)


def test_generation_0_is_the_charts_own_values() -> None:
    assert claim_of("u", 'trimtab_knobs_info{pod_uid="u",epoch="",generation="0"} 1\n') == CHART_DEFAULTS


def test_another_pods_words_confirm_nothing() -> None:
    assert isinstance(claim_of("u", info("someone-else", 7)), Absent)


def test_two_documents_at_once_confirm_neither() -> None:
    assert isinstance(claim_of("u", f"{info('u', 7)}\n{info('u', 8)}\n"), Absent)
    assert claim_of("u", f"{info('u', 7, 0)}\n{info('u', 8)}\n") == Acknowledgement(EPOCH, 8)


async def test_pods_that_do_not_answer_are_left_out() -> None:
    with Exporter() as exporter:
        exporter.pages["a"] = {info("a", 3).removesuffix(" 1"): 1}
        pods = [
            Pod("shop", name, name, True, False, 0.0, 0.0, f"http://{exporter.address}/{name}")
            for name in ("a", "gone")
        ]
        refused = Pod("shop", "b", "b", True, False, 0.0, 0.0, "http://127.0.0.1:9/metrics")
        assert await confirmations([*pods, refused]) == {"a": Acknowledgement(EPOCH, 3)}
    assert await confirmations([]) == {}


def test_the_how_to_shows_a_policy_that_is_valid() -> None:
    text = (Path(__file__).parents[3] / "docs/how-to/write-a-policy.md").read_text()
    block = text[text.index("    apiVersion: trimtab.dev") :]
    lines = [line[4:] for line in block.splitlines()]
    end = next(i for i, line in enumerate(block.splitlines()) if line and not line.startswith("    "))
    shown = yaml.safe_load("\n".join(lines[:end]))
    assert TuningPolicySpec.model_validate(shown["spec"]).knobs.pooler_pool_size is not None
