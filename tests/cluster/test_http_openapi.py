"""The OpenAPI document against the handlers: schemathesis makes requests of it, right and wrong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from http_cluster import Json, client_of, http_cluster
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

EXAMPLES_PER_PAGE = 15
# Not that each request which fits the document is accepted: a schema cannot say the rules of names.
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
]


def check_page(document: Json, path: str, method: str, url: str) -> None:
    """Make requests of one page; each answer must be one that the document allows."""
    schema = schemathesis.openapi.from_dict(document)
    operation = schema[path][method]

    @settings(
        max_examples=EXAMPLES_PER_PAGE,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(base_url=url, checks=CHECKS)

    check()


@pytest.mark.filterwarnings("ignore")
def test_each_page_answers_as_the_document_says(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            async with client_of(cluster) as client:
                for number in range(3):
                    await client.publish(f"pay-{number}", "a:1", b"b").wait_registered()
                await client.subscribe("pay-0").wait_for(1)
                document = await cluster.get("/v1/openapi.json")
                url = f"http://127.0.0.1:{cluster.server.port}"
                # A watch never ends, so a request of it would not either.
                del document["paths"]["/v1/watch"]
                for path, operations in document["paths"].items():
                    for method in operations:
                        await asyncio.to_thread(check_page, document, path, method, url)
            assert cluster.server.counts["http_errors"] == 0
            statistics = cluster.sessions[0].statistics()
            assert statistics.get("core_errors", 0) == statistics.get("reactor_errors", 0) == 0

    asyncio.run(run())
