"""The service against its OpenAPI description, with requests by schemathesis."""

from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from services import run_service

KEY = {"X-API-Key": "s3cret"}


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def ask(case: Any) -> None:
    # OpenAPI cannot express that the body of /score must be a CSV.
    excluded = [positive_data_acceptance] if case.operation.path == "/score" else []
    case.call_and_validate(headers=KEY, excluded_checks=excluded)


def test_the_service_does_what_it_says(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, api_key=KEY["X-API-Key"]) as service:
        described = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
        found = described.get_all_operations()
        operations = [result.ok() for result in found if isinstance(result, Ok)]
        assert len(operations) >= 7
        for operation in operations:
            given(case=operation.as_strategy())(ask)()
