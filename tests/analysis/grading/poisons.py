"""Hostile programs that aim at what comes after them: the next program, the grader, the clock, the person's keys.

As in ``programs/attack.py`` each solves ``bounded(value, low, high)``; those of the kind ``time`` are right, too slow.
``tried`` swallows what an action raises; ``forge`` sends what the runner would never send.
"""

from __future__ import annotations

from tests.analysis.grading.programs.attack import UNDO_THE_GUARD, Attack
from tests.analysis.grading.programs.forgeries import TIME, VALUES
from tests.analysis.grading.programs.state import KEYS, PIPES, PROCESS_1, SHARED, TMP

TOOLS = f"""{UNDO_THE_GUARD}
import array, ctypes, fcntl, signal, socket, struct, threading, time
libc = ctypes.CDLL(None, use_errno=True)
tried = anyway
def runner(name):
    frame = sys._getframe(1)
    while name not in frame.f_locals and name not in frame.f_globals:
        frame = frame.f_back
    return frame.f_locals.get(name, frame.f_globals.get(name))
def forge(kind, content):
    runner("send")(runner("results"), kind, content)
def forge_text(kind, body):
    os.write(runner("results"), struct.pack(">cI", kind, len(body)) + body)
def pipes():
    return [fd for fd in range(64) if (tried(lambda: os.fstat(fd).st_mode) or 0) & 0o170000 == 0o010000]
def set_flags(flags):
    for fd in pipes():
        tried(lambda: fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | flags))
def burn(cpu_s):
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass
def timers_off():
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
def call(number, *arguments):
    return libc.syscall(number, *arguments)
once = []
"""

POISONS: tuple[Attack, ...] = (*PIPES, *PROCESS_1, *TMP, *KEYS, *SHARED)
FORGERIES: tuple[Attack, ...] = (*VALUES, *TIME)


def program(attack: Attack, signature: str = "bounded(value, low, high)") -> str:
    """The whole program; with another signature it is one for another task."""
    return attack.program(signature=signature, tools=TOOLS)
