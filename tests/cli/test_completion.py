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


def completed(shell: str, folder: Path, script: str) -> list[str]:
    """What a script of a shell prints that completes a command of this name."""
    command = folder / "remote-job-exporter"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m exporter "$@"\n')
    command.chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb"}
    done = subprocess.run(
        [shell, "-c", script], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout, done.stderr
    return done.stdout.splitlines()


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"needs {shell}; apt-get install {shell}")


@needs("bash")
def test_a_real_bash_completes_a_command_and_a_flag(tmp_path: Path) -> None:
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
    assert completed("bash", tmp_path, script) == ["simulate", "--shard.count"]


@needs("fish")
def test_a_real_fish_completes_a_command_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").touch()
    script = f"""
        {NAME}=fish_source remote-job-exporter | source
        complete --do-complete "remote-job-exporter sim"
        complete --do-complete "remote-job-exporter check {tmp_path}/ow"
    """
    lines = completed("fish", tmp_path, script)
    assert lines == ["simulate\tSimulates the vendors on one port", f"{tmp_path}/own.yaml"]


@needs("zsh")
def test_a_real_zsh_completes_a_command_with_what_it_does(tmp_path: Path) -> None:
    # Without a terminal zsh has no line to complete, so the last step of its script prints.
    script = f"""
        compdef() {{ print -- "$2" }}
        _describe() {{ print -l -- "${{(@P)3}}" }}
        eval "$({NAME}=zsh_source remote-job-exporter)"
        words=(remote-job-exporter sim) CURRENT=2
        _remote_job_exporter_completion
    """
    lines = completed("zsh", tmp_path, script)
    assert lines == ["remote-job-exporter", f"simulate:{COMMANDS['simulate']}"]
