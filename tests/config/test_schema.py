import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from exporter.auth import CREDENTIALS
from exporter.config import BUILT_IN, json_schema, reference
from exporter.config.models import JobKeys, SystemKeys
from exporter.config.yaml import parse
from exporter.providers import PROVIDERS
from tests.config.conftest import GOOD, HERE


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    found = json.loads(json.dumps(json_schema()))
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def test_a_good_config_fits_the_schema(schema: Draft202012Validator) -> None:
    schema.validate(parse(GOOD.read_bytes()).root)


@pytest.mark.parametrize(
    "name",
    [
        "auth_unknown",
        "auth_missing_key",
        "concurrency_zero",
        "concurrency_too_high",
        "duration_without_unit",
        "duration_with_spaces",
        "jobs_empty",
        "label_name",
        "label_too_long",
        "discover_where_there_is_no_listing",
        "json_expression_is_a_number",
        "json_expression_key",
        "json_job_key_is_a_number",
        "json_method",
        "json_state_missing",
        "json_states_no_list",
        "json_states_unknown",
        "missing_job_key",
        "missing_option",
        "number_for_text",
        "secret_two_sources",
        "state_series",
        "systems_empty",
        "system_name",
        "tls_unknown",
        "unknown_key_at_the_top",
        "unknown_key_of_job",
        "unknown_key_of_system",
        "unknown_provider",
        "url_scheme",
    ],
)
def test_the_schema_refuses_what_the_exporter_refuses(schema: Draft202012Validator, name: str) -> None:
    root = parse((HERE / "bad" / f"{name}.yaml").read_bytes()).root
    assert not schema.is_valid(root)


@pytest.mark.parametrize("duration", ["0", "0s", "500ms", "1m30s", "1d", 0])
def test_the_schema_takes_every_duration(schema: Draft202012Validator, duration: object) -> None:
    schema.validate({"defaults": {"min_interval": duration}})


@pytest.mark.parametrize("duration", ["", "s", "1", "1.5h", "30s1m", 5, None])
def test_the_schema_takes_no_other_duration(schema: Draft202012Validator, duration: object) -> None:
    assert not schema.is_valid({"defaults": {"min_interval": duration}})


SYSTEM = {
    "provider": "caps",
    "base_url": "https://a.example",
    "jobs": [{"project_id": "p", "build_job_id": "b", "locale": "en"}],
}


@pytest.mark.parametrize("number", [10, 1.5, -1])
def test_what_validators_say_of_a_number_for_a_duration_is_that_it_must_be_text(
    schema: Draft202012Validator, number: float
) -> None:
    for root in ({"defaults": {"timeout": number}}, {"systems": {"s": {**SYSTEM, "timeout": number}}}):
        (error,) = schema.iter_errors(root)
        assert error.message == f"{number} is not of type 'string'"
        assert error.path[-1] == "timeout"


def test_what_validators_say_of_a_system_is_about_its_own_provider(schema: Draft202012Validator) -> None:
    def said(**keys: object) -> list[str]:
        return [error.message for error in schema.iter_errors({"systems": {"s": {**SYSTEM, **keys}}})]

    assert said() == []
    assert said(jobs=[{"project_id": "p", "build_job_id": "b"}]) == ["'locale' is a required property"]
    assert said(auth={"type": "bearer"}) == ["'token' is a required property"]
    assert said(auth={}) == ["'type' is a required property"]
    (unknown,) = said(provider="cups")
    assert unknown.startswith("'cups' is not one of ['caps', ")


def test_no_key_of_a_provider_hides_a_common_one() -> None:
    for provider in PROVIDERS.values():
        assert not set(provider.JobKeys.model_fields) & set(JobKeys.model_fields)
        assert not set(provider.Options.model_fields) & {*SystemKeys.model_fields, "provider", "auth", "jobs"}


def test_the_reference_has_every_key() -> None:
    text, known = reference(), BUILT_IN.models
    models: list[Any] = [*known.systems.values(), *known.jobs.values(), *known.auth.values()]
    for model in models:
        for key in model.model_fields:
            assert f"`{key}" in text
    for name in (*PROVIDERS, *CREDENTIALS):
        assert f"`{name}`" in text or f"`type: {name}`" in text


def test_the_reference_tells_types_and_defaults() -> None:
    lines = reference().splitlines()
    assert "| `concurrency` | 1 to 256 | `16` | parallel reads of one system |" in lines
    assert "| `state_series` | `all` or `current` | `all` |" in "\n".join(lines)
    assert any(line.startswith("| `run_within` | duration or `never` | `12h` |") for line in lines)
    assert any(line.startswith("| `base_url` | URL | required |") for line in lines)
    assert any(line.startswith("| `password` | secret | required |") for line in lines)


def test_the_reference_tells_who_can_discover_and_when_jobs_are_needed() -> None:
    lines = reference().splitlines()
    names = [f"`{name}`" for name, provider in PROVIDERS.items() if provider.Discover is not None]
    (discover,) = (line for line in lines if line.startswith("| `discover` |"))
    assert discover.startswith(
        f"| `discover` | mapping or list, for {', '.join(names[:-1])} or {names[-1]} |  |"
    )
    (jobs,) = (line for line in lines if line.startswith("| `jobs` |"))
    assert jobs.startswith(
        "| `jobs` | list | required without `discover` | the jobs to watch, in addition to"
    )


def test_every_table_of_the_reference_is_four_columns_wide() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("|")]
    assert rows
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
