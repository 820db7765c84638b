"""A SLURM cluster of one node in a folder: controller, node, munge, their configuration, state and logs.

Its GPUs are links to other devices, handed out as generic resources. A SLURM that the machine may have is not
touched. Anybody may start it.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo", "scancel")
PLACES = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
NODE = "node0"
DEVICES = ("/dev/null", "/dev/zero")  # SLURM wants to see device files behind its GPUs
PATIENCE = 300  # seconds, for what SLURM is asked to do

# Where nobody accounts, squeue alone tells what has ended: MinJobAge keeps it. SlurmdTimeout: seconds of
# silence until a node is given up; cred_expire: until its jobs start again.
SLURM_CONF = """\
ClusterName=amad
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
KillWait=20
MinJobAge=3600
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=12
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
NodeName=DEFAULT CPUs=8 RealMemory=1000000 Gres=gpu:{gpus}
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port}
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]


class Cluster:
    """The cluster in a folder, which has to be new; `environment` is what its clients need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        path = os.pathsep.join([str(self.folder / "bin"), PLACES])
        self.environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Writes the configuration and starts all; RuntimeError where something does not come up."""
        for name in ("state", "spool", "logs", "bin"):
            (self.folder / name).mkdir(parents=True)
        self._write_srun()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for index, device in enumerate(DEVICES):
            (self.folder / f"gpu{index}").symlink_to(device)
        (self.folder / "gres.conf").write_text(
            f"NodeName={NODE} Name=gpu File={self.folder}/gpu[0-{len(DEVICES) - 1}] Flags=nvidia_gpu_env\n"
        )
        controller_port, node_port = _free_ports(2)
        (self.folder / "slurm.conf").write_text(
            SLURM_CONF.format(
                host=socket.gethostname(),
                user=pwd.getpwuid(os.getuid()).pw_name,
                folder=self.folder,
                controller_port=controller_port,
                node_port=node_port,
                node=NODE,
                gpus=len(DEVICES),
            )
        )
        files = {
            "--key-file": "munge.key",
            "--socket": "munge.socket",
            "--pid-file": "munged.pid",
            "--seed-file": "munge.seed",
            "--log-file": "logs/munged.txt",
        }
        options = [f"{option}={self.folder / name}" for option, name in files.items()]
        self._start("munged", "--foreground", "--force", *options)
        self._wait("munged", (self.folder / "munge.socket").exists)
        self._start("slurmctld", "-D")
        self.start_node()

    def start_node(self) -> None:
        self._start("slurmd", "-D", "-N", NODE)
        self._wait("the node", lambda: self.node_state() in ("idle", "mixed", "allocated"))

    def ask(self, *command: str) -> str:
        """What a client of SLURM says; RuntimeError where it fails."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def ask_together(self, *commands: Sequence[str], **variables: str) -> list[str]:
        """What several clients say that are started at once; RuntimeError where one fails."""
        environment = self.environment | variables
        clients = [
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for command in commands
        ]
        said = [client.communicate() for client in clients]
        for client, (_, errors) in zip(clients, said, strict=True):
            if client.returncode:
                raise RuntimeError(f"{client.args}: {errors.strip()}")
        return [output for output, _ in said]

    def node_state(self) -> str:
        """As sinfo says it; "" while the controller does not answer."""
        try:
            return self.ask("sinfo", "-h", "-n", NODE, "-o", "%T")
        except RuntimeError:
            return ""

    def gpus(self) -> str:
        """The node's generic resources, as sinfo says them."""
        return self.ask("sinfo", "-h", "-n", NODE, "-o", "%G")

    def jobs(self, state: str) -> dict[str, str]:
        """Rule and wildcards of the jobs in a state, by their numbers."""
        lines = self.ask("squeue", "-h", "-t", state, "-o", "%i %k").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def drain(self) -> None:
        """The node takes no new jobs."""
        self.ask("scontrol", "update", f"NodeName={NODE}", "State=DRAIN", "Reason=test")

    def resume(self) -> None:
        self.ask("scontrol", "update", f"NodeName={NODE}", "State=RESUME")

    def requeue(self) -> None:
        """All running jobs are ended (SIGTERM, SIGKILL after KillWait) and wait anew, as when preempted."""
        for job in self.jobs("running"):
            self.ask("scontrol", "requeue", job)

    def kill_daemon(self) -> None:
        """slurmd is killed, its jobs live on."""
        process = self._daemons.pop("slurmd")
        process.kill()
        process.wait()

    def lose_node(self) -> None:
        """slurmd and all processes of its jobs are killed at once, as when a machine loses its power."""
        self.kill_daemon()
        for _ in range(3):  # what was started meanwhile
            self._kill_jobs()

    def wait_until_lost(self) -> None:
        """Until the controller has given the node up."""
        self._wait("the loss of the node", lambda: self.node_state().startswith("down"))

    def stop(self) -> None:
        """Ends all jobs and daemons."""
        with suppress(RuntimeError):
            for job in self.jobs("all"):
                self.ask("scancel", job)
            self._wait("the end of all jobs", lambda: not self.jobs("running,completing"))
        for name in ("slurmd", "slurmctld", "munged"):
            if process := self._daemons.pop(name, None):
                process.terminate()
                process.wait()
        self._kill_jobs()

    def _write_srun(self) -> None:
        """Within a job the executor calls srun without any SLURM_*, which here would not find its cluster."""
        program = self.folder / "bin/srun"
        found = shutil.which("srun", path=PLACES)
        program.write_text(f'#!/bin/sh\nSLURM_CONF="{self.folder}/slurm.conf" exec {found} "$@"\n')
        program.chmod(0o755)

    def _start(self, name: str, *options: str) -> None:
        program = shutil.which(name, path=PLACES)
        assert program is not None
        with (self.folder / f"logs/{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [program, *options], stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"{what}: nothing within {PATIENCE} s; see {self.folder}/logs")
            time.sleep(0.5)

    def gpus_in_use(self) -> list[str]:
        """What SLURM has told the processes of running jobs about their GPUs (CUDA_VISIBLE_DEVICES)."""
        found = {environment.get("CUDA_VISIBLE_DEVICES", "") for _, environment in self._of_jobs()}
        return sorted(found - {""})

    def _of_jobs(self) -> Iterator[tuple[Path, dict[str, str]]]:
        """Processes of this cluster's jobs, as folders, with what they were given (Linux)."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                given = dict(word.split("=", 1) for word in words if "=" in word)
                if given.get("SLURM_CONF") == self.environment["SLURM_CONF"] and "SLURM_JOB_ID" in given:
                    yield folder, given

    def _kill_jobs(self) -> None:
        """SIGKILL for all processes of jobs, and for the slurmstepd that they are children of."""
        found: set[int] = set()
        for folder, _ in self._of_jobs():
            with suppress(OSError):
                found |= {int(folder.name), *_step_daemons(folder)}
        for process in found - {os.getpid()}:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _step_daemons(process: Path) -> Iterator[int]:
    """A process's ancestors that are slurmstepd."""
    parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    while parent > 1:
        folder = Path("/proc", str(parent))
        if (folder / "comm").read_text().strip() == "slurmstepd":
            yield parent
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
