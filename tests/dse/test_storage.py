"""The storage: an empty database is made ready once, whoever comes first."""

import subprocess
import sys

import pytest

OPEN = "import sys; from dse.storage import reach; reach(sys.argv[1])"


@pytest.mark.slow
def test_processes_that_open_an_empty_database_at_once_all_get_in(tmp_path):
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/study.db"]
    together = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(6)]
    assert [(one.wait(), one.communicate()[1]) for one in together] == [(0, b"")] * 6
