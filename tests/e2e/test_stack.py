"""charts/stack on a real cluster: from nothing to ready, what it measures, what survives what."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from deploy import releases, stack
from deploy.errors import CommandError
from deploy.kubectl import Kubectl, wait_until
from deploy.platforms.port import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

NAMESPACE = stack.STACK_NAMESPACE
VALUES = {"seed": {"items": 500}, "pooler": {"poolSize": 2}, "api": {"poolSize": 2}}
PASSWORDS = "catalog-credentials"

# One series of each source, as docs/decisions/0001 and the contracts name them: {app: expression}.
MEASURED = {
    "api": 'trimtab_pool_size{namespace="catalog",pod=~"catalog-api-.+"}',
    "api knobs": 'trimtab_knobs_info{pod=~"catalog-api-.+",generation="0"}',
    "api cpu limit": "trimtab_cpu_limit_cores",
    "pooler": "trimtab_pooler_pool_size == 2",
    "pooler knobs": 'trimtab_knobs_info{pod=~"catalog-pooler-.+",generation="0"}',
    "max_connections": "pg_settings_max_connections == 100",
    "superuser_reserved_connections": "pg_settings_superuser_reserved_connections == 3",
    "activity": "pg_stat_activity_count",
    "backends": 'trimtab_pg_backends{role="catalog_app"}',
    "statement calls": "trimtab_pg_statement_calls_total",
    "statement seconds": "trimtab_pg_statement_seconds_total",
    "rows inserted": 'trimtab_pg_rows_inserted_total{table="items"} == 500',
    "rows updated": 'trimtab_pg_rows_updated_total{table="items"}',
    "rows deleted": 'trimtab_pg_rows_deleted_total{table="items"}',
    "the fence": 'pg_roles_connection_limit{rolname="catalog_app"} == 87',
    "redis": "redis_config_maxmemory == 64 * 1024 * 1024",
}


@pytest.fixture(scope="module")
def installed(platform: Platform, kubectl: Kubectl) -> Iterator[dict[str, str]]:
    """The images of a release that is ready and seeded."""
    references = stack.install(platform, with_tuner=False, stack_values=VALUES)
    kubectl.run(
        "wait", "job", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=seed",
        "--for=condition=complete", "--timeout=300s", timeout_seconds=330,
    )  # fmt: skip
    yield references
    releases.uninstall(platform.kubeconfig, stack.STACK, NAMESPACE)
    kubectl.run("delete", "namespace", NAMESPACE, "--timeout=300s", timeout_seconds=330)


def items(kubectl: Kubectl) -> list[dict[str, object]]:
    """The first items, through the API's Service."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/catalog-api:8000/proxy/items?limit=2"
    found: list[dict[str, object]] = json.loads(kubectl.run("get", "--raw", path))["items"]
    return found


def in_postgres(kubectl: Kubectl, script: str) -> str:
    command = kubectl.shell("catalog-postgres-0", "postgres", NAMESPACE, script)
    return kubectl.run(*command[2:])


def pod_uids(kubectl: Kubectl) -> set[str]:
    return {pod["metadata"]["uid"] for pod in kubectl.items("pods", NAMESPACE)}


def test_it_serves_what_was_seeded(installed: dict[str, str], kubectl: Kubectl) -> None:
    assert [item["id"] for item in items(kubectl)] == [1, 2]


@pytest.mark.parametrize("what", MEASURED)
def test_prometheus_has_it(installed: dict[str, str], kubectl: Kubectl, what: str) -> None:
    expression = f"count({MEASURED[what]})"
    wait_until(
        f"Prometheus answers {expression}",
        lambda: (kubectl.query("catalog-prometheus", NAMESPACE, expression) or 0) > 0,
        seconds=120,
    )


def test_every_target_answers(installed: dict[str, str], kubectl: Kubectl) -> None:
    # API, two poolers, PostgreSQL, Redis; a target that is down would make the minimum 0.
    def all_up() -> bool:
        count = kubectl.query("catalog-prometheus", NAMESPACE, 'count(up{job="pods"})')
        least = kubectl.query("catalog-prometheus", NAMESPACE, 'min(up{job="pods"})')
        return (count, least) == (5, 1)

    wait_until("five targets are up", all_up, seconds=120)


def test_the_superuser_is_no_user_of_the_network(installed: dict[str, str], kubectl: Kubectl) -> None:
    assert in_postgres(kubectl, "psql -h /run/postgresql -U postgres -Atc 'select 1'").strip() == "1"
    with pytest.raises(CommandError, match=r"pg_hba\.conf rejects"):
        in_postgres(kubectl, "PGPASSWORD=x psql -h 127.0.0.1 -U postgres -Atc 'select 1'")


def test_passwords_are_in_no_process_list_and_no_statistics(installed: dict[str, str], kubectl: Kubectl) -> None:
    # Written down first: the process that searches has the password among its own arguments.
    script = """
        cat /proc/[0-9]*/cmdline > /tmp/arguments
        psql -h /run/postgresql -U postgres -At -c 'select query from pg_stat_statements' catalog > /tmp/statements
        test -s /tmp/arguments && test -s /tmp/statements || exit 1
        cat /tmp/arguments /tmp/statements | grep -c -F -e "$POSTGRES_APP_PASSWORD" || true
    """
    assert in_postgres(kubectl, script).strip() == "0"


def test_an_upgrade_that_changes_nothing_changes_nothing(
    installed: dict[str, str], platform: Platform, kubectl: Kubectl
) -> None:
    passwords = kubectl.get("secret", PASSWORDS, NAMESPACE)["data"]
    pods = pod_uids(kubectl)
    releases.install(platform.kubeconfig, stack.stack(installed, VALUES))
    assert kubectl.get("secret", PASSWORDS, NAMESPACE)["data"] == passwords
    assert pod_uids(kubectl) == pods


def test_an_upgrade_leaves_the_replicas_to_whoever_scaled_them(
    installed: dict[str, str], platform: Platform, kubectl: Kubectl
) -> None:
    kubectl.run("scale", "deployment/catalog-api", "--replicas=2", f"--namespace={NAMESPACE}")
    changed = {**VALUES, "api": {"poolSize": 3}}
    releases.install(platform.kubeconfig, stack.stack(installed, changed))
    assert kubectl.get("deployment", "catalog-api", NAMESPACE)["spec"]["replicas"] == 2


def test_the_database_survives_a_crash(installed: dict[str, str], kubectl: Kubectl) -> None:
    def restarts() -> int:
        pod = kubectl.get("pod", "catalog-postgres-0", NAMESPACE)
        return sum(each["restartCount"] for each in pod["status"]["containerStatuses"] if each["name"] == "postgres")

    before = restarts()
    # The first process of a container takes no SIGKILL from inside; a lost backend makes the server stop all others
    # and recover, SIGQUIT makes it go without a checkpoint.
    in_postgres(kubectl, "kill -QUIT 1")
    wait_until("the container was restarted", lambda: restarts() > before, seconds=120)
    kubectl.run(
        "wait", "pod/catalog-postgres-0", f"--namespace={NAMESPACE}", "--for=condition=ready", "--timeout=180s",
        timeout_seconds=200,
    )  # fmt: skip
    count = "psql -h /run/postgresql -U postgres -Atc 'select count(*) from items' catalog"
    assert in_postgres(kubectl, count).strip() == "500"


def test_a_release_that_comes_back_finds_its_data(
    installed: dict[str, str], platform: Platform, kubectl: Kubectl
) -> None:
    passwords = kubectl.get("secret", PASSWORDS, NAMESPACE)["data"]
    releases.uninstall(platform.kubeconfig, stack.STACK, NAMESPACE)
    wait_until("every pod is gone", lambda: not kubectl.items("pods", NAMESPACE), seconds=240)
    assert kubectl.exists("pvc", "data-catalog-postgres-0", NAMESPACE)
    releases.install(platform.kubeconfig, stack.stack(installed, VALUES))
    assert kubectl.get("secret", PASSWORDS, NAMESPACE)["data"] == passwords
    assert [item["id"] for item in items(kubectl)] == [1, 2]
