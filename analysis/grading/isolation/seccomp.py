"""The system calls that a candidate may not make, as a program that the kernel runs for each call (seccomp).

What is refused reaches beyond the sandbox (keys, locks and watches on mounted files, sockets of other families),
outlives a run (System V objects, settings of another process), or is a large part of the kernel that no honest program
needs. A call that is newer than this list is refused too. Numbers and names: the kernel's ``syscall_64.tbl`` and
``asm-generic/unistd.h``.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass, field

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000  # set in the number of a call with 32-bit pointers
_NEWEST = 456  # futex_requeue, Linux 6.7; from 424 on all machines count alike
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16  # offsets in what the program is shown

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW…
_AS_A_SIBLING = 0x8000  # CLONE_PARENT: a child of process 1
_LEASE_AND_NOTIFY = (1024, 1026)  # F_SETLEASE, F_NOTIFY
_SET_FLAGS = (0x40086602, 0x401C5820)  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR
_SET_SECCOMP = 22
_UNIX, _JOIN_SESSION_KEYRING, _OF_A_PROCESS = 1, 1, 1


@dataclass(frozen=True)
class Rule:
    """One call, by its numbers on x86_64 and aarch64 (None: not there), and when it is refused, with which error.

    ``only``: allowed where these arguments have these values, and ``null`` is a null pointer. ``bits`` and ``values``:
    refused where the argument has one of these bits, or is one of these values. Without all of them: always refused.
    """

    name: str
    x86_64: int | None
    aarch64: int | None
    error: int = errno.EPERM
    only: dict[int, int] = field(default_factory=dict)
    null: int | None = None
    bits: tuple[int, int] | None = None
    values: tuple[int, tuple[int, ...]] | None = None


def _refused(names: str, error: int = errno.EPERM) -> list[Rule]:
    """Rules without conditions from lines of ``name number number``; - where a machine has no such call."""
    rows = [line.split() for line in names.strip().splitlines()]
    return [Rule(name, _number(x86_64), _number(aarch64), error) for name, x86_64, aarch64 in rows]


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)


_KEYS = _refused("add_key 248 217\nrequest_key 249 218")
_OTHER_PROCESSES = _refused("""
    ptrace 101 117
    process_vm_readv 310 270
    process_vm_writev 311 271
    kcmp 312 272
    pidfd_getfd 438 438
    process_madvise 440 440
    process_mrelease 448 448
    migrate_pages 256 238
    move_pages 279 239
""")
_MOUNTS_AND_NAMESPACES = _refused("""
    mount 165 40
    umount2 166 39
    pivot_root 155 41
    chroot 161 51
    open_tree 428 428
    move_mount 429 429
    fsopen 430 430
    fsconfig 431 431
    fsmount 432 432
    fspick 433 433
    mount_setattr 442 442
    name_to_handle_at 303 264
    open_by_handle_at 304 265
    unshare 272 97
    setns 308 268
""")
_LOCKS_AND_WATCHES = _refused("""
    flock 73 32
    inotify_init 253 -
    inotify_init1 294 26
    inotify_add_watch 254 27
    inotify_rm_watch 255 28
    fanotify_init 300 262
    fanotify_mark 301 263
""")
_OBJECTS_WITHOUT_A_PROCESS = _refused("""
    msgget 68 186
    msgsnd 69 189
    msgrcv 70 188
    semget 64 190
    semop 65 193
    semtimedop 220 192
    shmget 29 194
    shmat 30 196
    mq_open 240 180
    mq_unlink 241 181
    mq_timedsend 242 182
    mq_timedreceive 243 183
    mq_notify 244 184
    mq_getsetattr 245 185
""")
_THE_MACHINE = _refused("""
    acct 163 89
    adjtimex 159 171
    clock_adjtime 305 266
    clock_settime 227 112
    delete_module 176 106
    finit_module 313 273
    init_module 175 105
    ioperm 173 -
    iopl 172 -
    kexec_file_load 320 294
    kexec_load 246 104
    lookup_dcookie 212 18
    modify_ldt 154 -
    nfsservctl 180 42
    perf_event_open 298 241
    personality 135 92
    quotactl 179 60
    quotactl_fd 443 443
    reboot 169 142
    setdomainname 171 162
    sethostname 170 161
    settimeofday 164 170
    swapoff 168 225
    swapon 167 224
    syslog 103 116
    uselib 134 -
    vhangup 153 58
    seccomp 317 277
    bpf 321 280
    userfaultfd 323 282
""")
# Libraries that try these have another way when the kernel does not know them.
_UNKNOWN_HERE = _refused(
    """
    io_uring_setup 425 425
    io_uring_enter 426 426
    io_uring_register 427 427
    clone3 435 435
    """,
    errno.ENOSYS,
)
_OF_ITSELF_ALONE = [
    Rule("prlimit64", 302, 261, only={0: 0}),
    Rule("sched_setaffinity", 203, 122, only={0: 0}),
    Rule("sched_setattr", 314, 274, only={0: 0}),
    Rule("sched_setparam", 142, 118, only={0: 0}),
    Rule("sched_setscheduler", 144, 119, only={0: 0}),
    Rule("setpriority", 141, 140, only={0: 0, 1: 0}),
    Rule("ioprio_set", 251, 30, only={0: _OF_A_PROCESS, 1: 0}),
]
_IN_PART = [
    Rule("keyctl", 250, 219, only={0: _JOIN_SESSION_KEYRING}, null=1),  # a new one, without a name
    Rule("socket", 41, 198, errno.EAFNOSUPPORT, only={0: _UNIX}),
    Rule("socketpair", 53, 199, errno.EAFNOSUPPORT, only={0: _UNIX}),
    Rule("clone", 56, 220, bits=(0, _NEW_NAMESPACES | _AS_A_SIBLING)),
    Rule("fcntl", 72, 25, values=(1, _LEASE_AND_NOTIFY)),
    Rule("ioctl", 16, 29, values=(1, _SET_FLAGS)),
    Rule("prctl", 157, 167, values=(0, (_SET_SECCOMP,))),
]
RULES: tuple[Rule, ...] = (
    *_KEYS, *_OTHER_PROCESSES, *_MOUNTS_AND_NAMESPACES, *_LOCKS_AND_WATCHES, *_OBJECTS_WITHOUT_A_PROCESS, *_THE_MACHINE,
    *_UNKNOWN_HERE, *_OF_ITSELF_ALONE, *_IN_PART,
)  # fmt: skip


def filter_program(machine: str | None = None) -> bytes | None:
    """Return the program for a machine (this one), as ``struct sock_filter`` after ``struct sock_filter``.

    None for a machine whose numbers are not in the list: what the namespaces and limits hold is held there too.
    """
    machine = machine or platform.machine()
    if machine not in _AUDIT_ARCH:
        return None
    unknown = _REFUSE | errno.ENOSYS
    program = [
        _step(_LOAD, _MACHINE),
        _step(_EQUAL, _AUDIT_ARCH[machine], yes=1),
        _step(_RETURN, unknown),  # 32-bit calls of the same machine
        _step(_LOAD, _NUMBER),
        _step(_GREATER, _NEWEST, no=1),
        _step(_RETURN, unknown),  # what came later, and x32
    ]
    assert _X32 > _NEWEST  # noqa: S101 -- one comparison refuses both
    for rule in RULES:
        number = rule.x86_64 if machine == "x86_64" else rule.aarch64
        if number is not None:
            answer = _answer(rule)
            program += [_step(_EQUAL, number, no=len(answer)), *answer]
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _answer(rule: Rule) -> list[bytes]:
    """Write what is done when a call has the rule's number."""
    refuse, allow = _step(_RETURN, _REFUSE | rule.error), _step(_RETURN, _ALLOW)
    if rule.only:
        steps = []
        for at, value in rule.only.items():
            steps += [_argument(at), _step(_EQUAL, value, yes=1), refuse]
        if rule.null is not None:
            for upper in (False, True):
                steps += [_argument(rule.null, upper=upper), _step(_EQUAL, 0, yes=1), refuse]
        return [*steps, allow]
    if rule.bits is not None:
        at, mask = rule.bits
        return [_argument(at), _step(_ANY_BIT, mask, no=1), refuse, allow]
    if rule.values is not None:
        at, values = rule.values
        steps = [_argument(at)]
        for value in values:
            steps += [_step(_EQUAL, value, no=1), refuse]
        return [*steps, allow]
    return [refuse]


def _argument(at: int, *, upper: bool = False) -> bytes:
    """Load one half of an argument; both machines are little-endian, and most arguments are read as 32 bits."""
    return _step(_LOAD, _ARGUMENTS + 8 * at + (4 if upper else 0))


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; ``yes`` and ``no``: how many to pass over."""
    return struct.pack("<HBBI", code, yes, no, value)
