"""Starts a command on a machine that seems to have been booted anew: ``reboot.py SECONDS BOOT_ID_FILE COMMAND...``.

The kernel's own means: a time namespace, in which ``CLOCK_MONOTONIC`` is so many seconds ahead (also for C, through the
vDSO), and a file bound over ``/proc/sys/kernel/random/boot_id``. Both need root, or what a container may be given.
"""

from __future__ import annotations

import ctypes
import os
import sys

_NEW_TIME, _NEW_MOUNTS = 0x80, 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_LIBC = ctypes.CDLL(None, use_errno=True)
_BOOT_ID = b"/proc/sys/kernel/random/boot_id"


def main() -> None:
    """Enter it, and become the command."""
    seconds, boot_id, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    _done(_LIBC.unshare(_NEW_TIME | _NEW_MOUNTS))
    with open("/proc/self/timens_offsets", "w", encoding="ascii") as offsets:  # noqa: PTH123 -- without imports
        offsets.write(f"monotonic {seconds} 0\n")
    inside = os.open("/proc/self/ns/time_for_children", os.O_RDONLY)
    _done(_LIBC.setns(inside, _NEW_TIME))
    os.close(inside)
    _done(_LIBC.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    _done(_LIBC.mount(os.fsencode(boot_id), _BOOT_ID, None, _MS_BIND, None))
    os.execvp(command[0], command)  # noqa: S606


def _done(code: int) -> None:
    if code:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
