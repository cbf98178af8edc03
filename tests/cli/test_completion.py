"""Completion in shells: what Tab offers, and that a real bash offers it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cli.main import COMMANDS
from tests.cli.conftest import Run

NAME = "_REMOTE_JOB_EXPORTER_COMPLETE"


def offered(run: Run, *words: str) -> list[str]:
    env = {
        NAME: "bash_complete",
        "COMP_WORDS": " ".join(("remote-job-exporter", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = run(**env)
    assert done.returncode == 0
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_are_offered_by_their_beginning(run: Run) -> None:
    assert offered(run, "s") == ["schema", "serve", "simulate"]


def test_a_group_without_a_beginning_offers_every_command(run: Run) -> None:
    assert offered(run, "") == [*COMMANDS]


def test_flags_of_a_command_are_offered(run: Run) -> None:
    assert {"--web.listen-address", "--web.config.file"} <= {*offered(run, "serve", "--web")}
    assert "--client-secret.file" in offered(run, "init", "--client")


def test_flags_without_a_command_are_offered(run: Run) -> None:
    assert offered(run, "--v") == ["--version"]


def test_values_of_a_flag_are_offered(run: Run) -> None:
    assert offered(run, "init", "--system", "c") == ["caps", "codearts", "crafter"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_of_a_shell_asks_the_command(shell: str, run: Run) -> None:
    done = run(**{NAME: f"{shell}_source"})
    assert done.returncode == 0
    assert f"{NAME}={shell}_complete" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash; apt-get install bash")
def test_a_real_bash_completes_a_command_and_a_flag(tmp_path: Path) -> None:
    command = tmp_path / "remote-job-exporter"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m exporter "$@"\n')
    command.chmod(0o755)
    script = f"""
        set -e
        eval "$({NAME}=bash_source remote-job-exporter)"
        complete -p remote-job-exporter | grep -q remote_job_exporter
        COMP_WORDS=(remote-job-exporter sim) COMP_CWORD=1
        _remote_job_exporter_completion remote-job-exporter
        echo "${{COMPREPLY[@]}}"
        COMP_WORDS=(remote-job-exporter serve --shard.c) COMP_CWORD=2 COMPREPLY=()
        _remote_job_exporter_completion remote-job-exporter
        echo "${{COMPREPLY[@]}}"
    """
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines() == ["simulate", "--shard.count"], done.stderr
