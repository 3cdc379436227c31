"""Files that survive a killed process."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dse.safefile import kernel_lock, remove_leftovers, repair_tail, write_atomically


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b"one\n", b"one\n"),
        (b"one\ntw", b"one\n"),
        (b"on", b""),
        (b"one\ntwo\n", b"one\ntwo\n"),
    ],
)
def test_a_cut_off_last_line_goes_and_nothing_else(tmp_path, content, kept):
    path = tmp_path / "log"
    path.write_bytes(content)
    repair_tail(path)
    assert path.read_bytes() == kept


def test_repairing_what_is_not_there_makes_nothing(tmp_path):
    repair_tail(tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 3)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_only_what_a_killed_writer_left_of_this_file_is_removed(tmp_path):
    path = tmp_path / "a[1].bin"
    kept = [path, tmp_path / ".b.bin.3.tmp", tmp_path / ".a1.bin.3.tmp"]
    for one in (*kept, tmp_path / ".a[1].bin.3.tmp", tmp_path / ".a[1].bin.77.tmp"):
        one.write_bytes(b"x")
    remove_leftovers(path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    remove_leftovers(tmp_path / "nowhere" / "file")


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path):
    lock = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from dse.safefile import kernel_lock\n"
        f"with kernel_lock(Path({str(lock)!r})):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGKILL)
    start = time.monotonic()
    with kernel_lock(lock):
        waited_s = time.monotonic() - start
    holder.wait()
    holder.stdout.close()
    assert waited_s < 2
