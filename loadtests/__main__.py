"""`python -m loadtests`: run a load test here, or as a Job in a cluster."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from loadtests.mix import DEFAULT_PERCENT, Mix, MixError
from loadtests.plan import LoadPlan, PlanError
from loadtests.stream import Progress, progress_line, result_line


def parser() -> argparse.ArgumentParser:
    """The command line; `run` and `job` take the same plan."""
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run here, against --url")
    run.add_argument("--stream", action="store_true", help="print progress and the result as JSON lines (in a pod)")
    job = commands.add_parser("job", help="run as a Job in the cluster, against a --url that its pods can reach")
    job.add_argument("--kubeconfig", type=Path, required=True, help="the cluster's kubeconfig file")
    job.add_argument("--namespace", default="catalog", help="where the Job runs (default: %(default)s)")
    job.add_argument("--name", default="loadtest", help="the Job's name (default: %(default)s)")
    job.add_argument("--image", required=True, help="the load generator's image, as the cluster knows it")
    for command in (run, job):
        _add_plan(command)
        command.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        plan = plan_of(options)
    except (PlanError, MixError) as error:
        parser().error(str(error))
    try:
        outcome = _run_here(options, plan) if options.command == "run" else _run_as_job(options, plan)
    except (ConnectionError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(outcome, indent=1) + "\n")
    if not getattr(options, "stream", False):
        print(json.dumps(outcome["summary"], indent=1))
    return 0


def _add_plan(parser: argparse.ArgumentParser) -> None:
    shares = ",".join(f"{kind}={share}" for kind, share in DEFAULT_PERCENT.items())
    parser.add_argument("--url", required=True, help="the API, for example http://catalog-api:8000")
    parser.add_argument("--users", type=int, default=50, help="users in a closed loop (default: %(default)s)")
    parser.add_argument("--ramp-seconds", type=int, default=10, help="start them over (default: %(default)s)")
    parser.add_argument("--hold-seconds", type=int, default=60, help="measure for (default: %(default)s)")
    parser.add_argument("--think-milliseconds", type=int, default=0, help="pause between requests (default: none)")
    parser.add_argument("--items", type=int, default=10_000, help="seeded items (default: %(default)s)")
    parser.add_argument("--zipf-percent", type=int, default=90, help="100 x the popularity exponent (default: 90)")
    parser.add_argument("--seed", type=int, default=1, help="makes the draws repeatable (default: %(default)s)")
    parser.add_argument("--sign-in-seconds", type=int, default=60, help="wait this long for the service (default: 60)")
    parser.add_argument("--mix", default=shares, help="percent by kind (default: %(default)s)")


def plan_of(options: argparse.Namespace) -> LoadPlan:
    return LoadPlan(
        url=options.url,
        users=options.users,
        ramp_seconds=options.ramp_seconds,
        hold_seconds=options.hold_seconds,
        think_milliseconds=options.think_milliseconds,
        items=options.items,
        zipf_percent=options.zipf_percent,
        seed=options.seed,
        sign_in_seconds=options.sign_in_seconds,
        mix=Mix.parse(options.mix),
    )


def _run_here(options: argparse.Namespace, plan: LoadPlan) -> dict[str, Any]:
    from loadtests.run.engine import run  # locust patches the standard library when it is imported

    def show(progress: Progress) -> None:
        print(progress_line(progress) if options.stream else _sentence(progress), flush=True)

    outcome = run(plan, show)
    if options.stream:
        print(result_line(outcome), flush=True)
    return outcome


def _run_as_job(options: argparse.Namespace, plan: LoadPlan) -> dict[str, Any]:
    from loadtests.job import run  # the Kubernetes client is not in the load generator's image

    def show(progress: Progress) -> None:
        print(_sentence(progress), file=sys.stderr, flush=True)

    return run(options.kubeconfig, options.name, options.namespace, options.image, plan, show)


def _sentence(progress: Progress) -> str:
    p95 = "-" if progress.p95_milliseconds is None else f"{progress.p95_milliseconds:.0f} ms"
    return (
        f"{progress.done}/{progress.total} s: {progress.users} users, {progress.requests_per_second:.0f} requests/s, "
        f"p95 {p95}, {progress.failures} failed"
    )


if __name__ == "__main__":
    sys.exit(main())
