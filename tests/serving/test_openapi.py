"""The service against its OpenAPI description, with requests by schemathesis."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from services import EXAMPLES, run_service

KEY = {"X-API-Key": "s3cret"}


@settings(max_examples=30, derandomize=True, suppress_health_check=list(HealthCheck))
def ask(case: Any) -> None:
    # OpenAPI cannot express that the body of /score must be a CSV.
    excluded = [positive_data_acceptance] if case.operation.path == "/score" else []
    case.call_and_validate(headers=KEY, excluded_checks=excluded, timeout=60)


@pytest.mark.slow
def test_the_service_does_what_it_says(model_file: Path, tmp_path: Path) -> None:
    with run_service(model_file, tmp_path, api_key=KEY["X-API-Key"]) as service:
        described = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
        found = described.get_all_operations()
        operations = [result.ok() for result in found if isinstance(result, Ok)]
        assert len(operations) >= 7
        for operation in operations:
            given(case=operation.as_strategy())(ask)()


@pytest.mark.slow
def test_requests_that_follow_on_each_other_are_answered_as_described(
    model_file: Path, tmp_path: Path
) -> None:
    asked = []
    with run_service(model_file, tmp_path, api_key=KEY["X-API-Key"]) as service:
        described = schemathesis.openapi.from_url(f"{service.url}/openapi.json")

        class Requests(described.as_state_machine()):  # type: ignore[misc]
            """Requests in any order, some of which use the response to an earlier one."""

            def get_call_kwargs(self, case: Any) -> dict[str, Any]:
                asked.append((case.operation.path, case.body))
                return {"headers": KEY, "timeout": 60}

            def validate_response(self, response: Any, case: Any, **given: Any) -> None:
                # A link makes a request valid again that was to be refused.
                excluded = [negative_data_rejection]
                if case.operation.path == "/score":
                    excluded.append(positive_data_acceptance)
                case.validate_response(response, excluded_checks=excluded, transport_kwargs=given)

        Requests.run(
            settings=settings(
                max_examples=150,
                stateful_step_count=10,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
        )
        assert "Traceback" not in service.log.read_text()
    # The links of /model have been followed.
    assert ("/predict", {"texts": list(EXAMPLES)}) in asked
    assert ("/explain", {"text": EXAMPLES[0]}) in asked
