"""The restrictions of systemd/edged@.service without systemd: namespaces by bubblewrap, system calls by libseccomp."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.processes import PROJECT

UNIT = PROJECT / "systemd" / "edged@.service"
STATE = "/var/lib/edged/line-a"
CREDENTIALS = "/run/credentials/edged@line-a.service"
NOTIFY = "/run/systemd/notify"
OWNER = "1000"

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NOT_EQUAL, EQUAL, MASKED_EQUAL = 1, 4, 7
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
HIGHEST_FAMILY = 46
NEW_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
WRITE, EXECUTE = 2, 4
SHM_EXECUTE = 0o100000
SET_ID = (0o4000, 0o2000)
REAL_TIME = (1, 2, 6)

KERNEL_TUNABLES = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/acpi", "/proc/fs")

BY_BUBBLEWRAP = {
    "DynamicUser", "StateDirectory", "StateDirectoryMode", "Environment", "LoadCredential", "UMask", "NoNewPrivileges",
    "CapabilityBoundingSet", "AmbientCapabilities", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices",
    "PrivateUsers", "ProtectHostname", "ProtectKernelTunables", "ProtectControlGroups", "ProtectProc", "RemoveIPC",
}  # fmt: skip
BY_SECCOMP = {
    "ProtectClock", "ProtectKernelLogs", "ProtectKernelModules", "RestrictAddressFamilies", "RestrictNamespaces",
    "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "SystemCallFilter",
    "SystemCallErrorNumber",
}  # fmt: skip
BY_MEASURING = {"MemoryMax", "TasksMax"}
NOT_HERE = {
    "User",
    "RuntimeDirectory",
    "RuntimeDirectoryPreserve",  # one line alone: its lease lies with its state
    "ProcSubset",  # bubblewrap mounts the whole of /proc, of an own process namespace
    "SystemCallArchitectures",  # libseccomp's default: calls of other architectures are refused
}


def directives() -> Mapping[str, list[str]]:
    """What the unit says below [Service]."""
    found: dict[str, list[str]] = defaultdict(list)
    service = UNIT.read_text(encoding="utf-8").partition("[Service]")[2].partition("[Install]")[0]
    for line in service.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def missing() -> str:
    """What is not there to build the sandbox; empty when all is."""
    for program in ("bwrap", "systemd-analyze"):
        if shutil.which(program) is None:
            return program
    return "" if ctypes.util.find_library("seccomp") else "libseccomp"


def refusal() -> str:
    """Why this kernel or container lets nobody build a sandbox; empty when it does."""
    answer = subprocess.run(["bwrap", *_namespaces(), "true"], capture_output=True, text=True, check=False)
    return answer.stderr.strip()


def sandboxed(command: Sequence[str], folder: Path, state: Path, secret: Path, notify: Path | None = None) -> list[str]:
    """The command in the sandbox: nothing but `state` can be written to, and that only as STATE."""
    state.mkdir(mode=0o700, exist_ok=True)
    program = folder / "seccomp.bpf"
    write_filter(program)
    mounts = ["--tmpfs", "/var/lib", "--bind", str(state), STATE, "--remount-ro", "/var/lib"]
    mounts += ["--tmpfs", "/run", "--ro-bind", str(secret), f"{CREDENTIALS}/hub-secret"]
    if notify is not None:
        mounts += ["--ro-bind", str(notify), NOTIFY, "--setenv", "NOTIFY_SOCKET", NOTIFY]
    mounts += ["--remount-ro", "/run"]
    for place in ("/home", "/root"):
        mounts += ["--tmpfs", place] if Path(place).is_dir() else []
    for place in ("/tmp", "/var/tmp"):
        mounts += ["--tmpfs", place]
    for needed in dict.fromkeys((sys.base_prefix, sys.prefix, str(PROJECT))):
        mounts += ["--ro-bind", needed, needed]
    variables = ["--setenv", "EDGED_DATA_DIRECTORY", STATE, "--setenv", "CREDENTIALS_DIRECTORY", CREDENTIALS]
    bubblewrap = ["bwrap", *_namespaces(), *mounts, *variables, "--chdir", "/", "--seccomp", "9", "--", *command]
    return ["sh", "-c", 'umask 077; exec 9<"$0"; exec "$@"', str(program), *bubblewrap]


def _namespaces() -> list[str]:
    return [
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        *(word for place in KERNEL_TUNABLES for word in ("--ro-bind-try", place, place)),
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--uid", OWNER, "--gid", OWNER, "--cap-drop", "ALL", "--new-session", "--die-with-parent"),
    ]


class _Compare(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class _Filter:
    """A filter of libseccomp. Rules for calls that this architecture lacks are left out."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL(ctypes.util.find_library("seccomp"))
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, call: str, *compares: _Compare) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (_Compare * len(compares))(*compares)
        added = self._library.seccomp_rule_add_array(
            self._context, ctypes.c_uint32(action), number, ctypes.c_uint(len(compares)), array
        )
        assert added == 0, (call, os.strerror(-added))

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            assert self._library.seccomp_export_bpf(self._context, file.fileno()) == 0
        self._library.seccomp_release(self._context)


def write_filter(path: Path) -> None:
    """The program that the kernel runs for every system call: what the unit allows, and with which arguments."""
    unit = directives()
    refused = ERRNO | getattr(errno, unit["SystemCallErrorNumber"][0])
    program = _Filter(refused)
    for call in sorted(allowed_calls(unit) - CALLS_WITH_ARGUMENTS):
        program.rule(ALLOW, call)
    for family in FAMILIES.values():
        program.rule(ALLOW, "socket", _Compare(0, EQUAL, family))
    assert {*unit["RestrictAddressFamilies"][0].split()} == set(FAMILIES)
    no_namespace = sum(NEW_NAMESPACES)
    program.rule(ALLOW, "clone", _Compare(0, MASKED_EQUAL, no_namespace, 0))
    program.rule(ERRNO | errno.ENOSYS, "clone3")
    program.rule(ALLOW, "mmap", _Compare(2, MASKED_EQUAL, EXECUTE, 0))
    program.rule(ALLOW, "mmap", _Compare(2, MASKED_EQUAL, WRITE | EXECUTE, EXECUTE))
    for call in ("mprotect", "pkey_mprotect"):
        program.rule(ALLOW, call, _Compare(2, MASKED_EQUAL, EXECUTE, 0))
    program.rule(ALLOW, "shmat", _Compare(2, MASKED_EQUAL, SHM_EXECUTE, 0))
    for call, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2)):
        program.rule(ALLOW, call, _Compare(argument, MASKED_EQUAL, sum(SET_ID), 0))
    for call in ("open", "openat"):
        program.rule(ALLOW, call)
    for policy in (0, 3, 5):
        program.rule(ALLOW, "sched_setscheduler", _Compare(1, EQUAL, policy))
    program.write(path)


CALLS_WITH_ARGUMENTS = frozenset(
    {
        *("socket", "clone", "clone3", "unshare", "setns", "mmap", "mprotect", "pkey_mprotect", "shmat", "personality"),
        *("chmod", "fchmod", "fchmodat", "mkdir", "mkdirat", "open", "openat", "sched_setscheduler", "sched_setattr"),
    }
)


def allowed_calls(unit: Mapping[str, list[str]]) -> set[str]:
    """The calls that SystemCallFilter= lets through, as systemd itself expands the groups."""
    calls: set[str] = set()
    for line in unit["SystemCallFilter"]:
        named = {call for word in line.removeprefix("~").split() for call in _expanded(word)}
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def _expanded(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    answer = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in answer.stdout.splitlines()[1:]]
    members = [line for line in lines if line and not line.startswith("#")]
    return {call for member in members for call in _expanded(member)}
