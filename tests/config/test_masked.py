"""The configuration that a recording contains."""

from pathlib import Path

import pytest
import yaml

from exporter.config import load
from exporter.config.masked import MaskedConfig

UUID = "cc3d35cc-416a-4262-9714-b359da70b419"
CONFIGS = {
    "everything that names the user": (
        f"""
defaults: {{timeout: 3s, min_interval: 0s}}
systems:
  other: {{provider: sitecore, base_url: https://example.com, jobs: [{{id: other}}]}}
  acme:
    provider: json
    base_url: https://ci.acme.example:8443/acme/api/v2
    proxy_url: http://proxy.acme.example
    labels: {{squad: acme}}
    min_interval: 5s
    headers: {{X-Tenant: acme, Accept: application/vnd.acme+json, User-Agent: robot}}
    auth: {{type: basic, username: acme-robot, password: acme-password}}
    read:
      path: /orgs/acme/repos/acme/website/runs/{{run}}
      query: {{api_key: acme-key-in-a-query, tenant: acme, page: "1", ref: "{{ref}}"}}
      headers: {{X-Api-Key: acme-key}}
      state: status
      states: {{failed: [Broken]}}
    expect: {{run_within: 1h}}
    jobs:
      - {{run: "455644833", ref: main, name: acme, labels: {{squad: acme}}}}
      - {{run: {UUID}, ref: acme}}
""",
        {
            "defaults": {"timeout": "3s", "min_interval": "0s"},
            "systems": {
                "json": {
                    "provider": "json",
                    "base_url": "http://replay.invalid/path-1/api/v2",
                    "auth": {"type": "bearer", "token": "recorded"},
                    "min_interval": "5s",
                    "headers": {
                        "X-Tenant": "***",
                        "Accept": "application/vnd.id_4+json",
                        "User-Agent": "robot",
                    },
                    "read": {
                        "path": "/orgs/path-1/repos/path-1/id_6/runs/{run}",
                        "query": {"api_key": "secret-2", "tenant": "id_4", "page": "1", "ref": "{ref}"},
                        "headers": {"X-Api-Key": "***"},
                        "state": "status",
                        "states": {"failed": ["Broken"]},
                    },
                    "expect": {"run_within": "1h"},
                    "jobs": [{"run": "900000001", "ref": "id_2"}],
                }
            },
        },
    ),
    "a default is no id": (
        f"""
systems:
  builds:
    provider: codearts
    base_url: https://builds.example.com
    jobs: [{{job_id: {"a1" * 16}}}]
    discover: {{project_id: {"b2" * 16}}}
""",
        {
            "systems": {
                "codearts": {
                    "provider": "codearts",
                    "base_url": "http://replay.invalid",
                    "jobs": [{"job_id": f"{1:032}", "build_no": "latest"}],
                }
            }
        },
    ),
}


@pytest.mark.parametrize(("text", "expected"), CONFIGS.values(), ids=CONFIGS.keys())
def test_the_masked_configuration_is_what_a_replay_needs(text: str, expected: object, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    loaded = load(file)
    masked = MaskedConfig(loaded, loaded.systems[-1].jobs[0]).text()
    assert yaml.safe_load(masked) == expected
    file.write_text(masked)
    assert len(load(file).systems) == 1
