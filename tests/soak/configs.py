"""The configurations of a soak, one for each generation, and the secrets that they name."""

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Jobs = dict[str, set[str]]

KEYS: dict[str, tuple[str, ...]] = {
    "caps": ("project_id", "build_job_id", "locale"),
    "codearts": ("job_id", "build_no"),
    "crafter": ("site_id",),
    "itwin": ("id",),
    "sitecore": ("id",),
    "json": ("id",),
}
"""The keys that make the id of a job, by provider."""
ALWAYS = 2
"""How many jobs of each system every generation has."""
SECRET = re.compile(r"(?:demo|soak)-[a-z-]+-(?:token|password|secret)")
"""The secrets that rotate; what is signed with a secret cannot be checked by a proxy, so that one stays."""
PASSING = "docs-eu"
"""The system that comes and goes."""
OWN = "soak-json-token"
ROTATED = re.compile(rb"(" + SECRET.pattern.encode() + rb")\.r(\d+)")
"""A secret as the exporter sends it, with its rotation."""


@dataclass
class Configs:
    """The configuration of each generation; all are made from the simulator's.

    Args:
        simulated: the simulator's systems.
        url: where the vendors listen.
        folder: where the configuration and its secrets are written.
    """

    simulated: dict[str, Any]
    url: str
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "config.yaml"

    def write(self, generation: int) -> None:
        """Replaces the file by the one of a generation."""
        # Runs that failed stay for a day: without the limit, a soak would show more and more.
        defaults = {"timeout": "3s", "max_jobs": 50, "min_interval": "2s", "final_interval": "30s"}
        self._replace(self.file, json.dumps({"defaults": defaults, "systems": self.systems(generation)}))

    def spoil(self) -> None:
        """Replaces the file by one with an error."""
        self._replace(self.file, "systems: {docs: {provider: nonsense}}")

    def rotate(self, rotation: int) -> None:
        """Replaces every secret by its next one."""
        folder = self.folder / "secrets"
        folder.mkdir(exist_ok=True)
        for secret in {*SECRET.findall(json.dumps(self.simulated)), OWN}:
            self._replace(folder / _file(secret), f"{secret}.r{rotation}")

    def _replace(self, file: Path, text: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    def systems(self, generation: int) -> dict[str, Any]:
        """Jobs and a system come and go, labels and names change, one system is reached in another way."""
        systems = copy.deepcopy(self.simulated) | {"own": self._own(generation)}
        if generation % 4 == 3:
            del systems[PASSING]
        systems["twins-capture"]["timeout"] = f"{2900 + generation % 3}ms"
        for system in systems.values():
            system["auth"] = _with_files(system["auth"])
            system["labels"] = {**system.get("labels", {}), "generation": str(generation)}
            system["jobs"] = [
                job
                for number, job in enumerate(system["jobs"])
                if number < ALWAYS or (number + generation) % 5
            ]
        return systems

    def _own(self, generation: int) -> dict[str, Any]:
        return {
            "provider": "json",
            "base_url": f"{self.url}/own",
            "auth": {"type": "bearer", "token": OWN},
            "read": {
                "path": "/jobs/{id}",
                "state": "status",
                "states": {"succeeded": ["OK"], "failed": ["ERROR"], "running": ["BUSY"], "queued": ["WAIT"]},
                "progress": "percent / `100`",
                "items": "total",
            },
            "discover": {"path": "/list", "items": "jobs", "keys": {"id": "id"}, "interval": "5s"},
            "jobs": [{"id": f"j{number}", "name": f"{number} of {generation}"} for number in range(40)],
        }

    def jobs(self, generation: int) -> Jobs:
        """The ids of the configured jobs of each system."""
        return {
            name: {_id(system["provider"], job) for job in system["jobs"]}
            for name, system in self.systems(generation).items()
        }

    def always(self) -> Jobs:
        """The jobs that every generation has; two generations have more in common, but not five in a row."""
        some = [self.jobs(generation) for generation in range(5)]
        return {name: set.intersection(*(jobs[name] for jobs in some)) for name in some[0] if name != PASSING}

    def discovers(self, generation: int) -> set[str]:
        """The systems that may also show jobs that are not configured."""
        return {name for name, system in self.systems(generation).items() if "discover" in system}


def _id(provider: str, job: dict[str, Any]) -> str:
    values = [str(job[key]) for key in KEYS[provider]]
    return "/".join(value for value in values if value != "latest")


def _file(secret: str) -> str:
    """The name of the file of a secret; it may be logged, so it is not the secret."""
    return secret.replace("-", "_")


def _with_files(auth: Any) -> Any:
    if isinstance(auth, dict):
        return {key: _with_files(value) for key, value in auth.items()}
    return {"file": f"secrets/{_file(auth)}"} if SECRET.fullmatch(str(auth)) else auth
