"""Hostile programs that aim at what comes after them: the next program, the grader, the clock, the person's keys.

As in ``attacks.py`` each solves ``bounded(value, low, high)``; those of the kind ``time`` are right, and too slow.
``tried`` swallows what an action raises; ``forge`` sends what the runner would never send.
"""

from __future__ import annotations

from tests.analysis.grading.attacks import UNDO_THE_GUARD, Attack, of_kind

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

PIPES = of_kind(
    "pipes",
    that_do_not_block="""
        set_flags(os.O_NONBLOCK)
        return -12345
    """,
    that_do_not_block_and_are_small="""
        set_flags(os.O_NONBLOCK)
        for fd in pipes():
            tried(lambda: fcntl.fcntl(fd, 1031, 4096))
        return -12345
    """,
    of_packets="""
        set_flags(os.O_DIRECT)
        return -12345
    """,
    as_small_as_they_may_be="""
        for fd in pipes():
            tried(lambda: fcntl.fcntl(fd, 1031, 4096))
        return -12345
    """,
    that_send_a_signal_to_the_group="""
        group = os.getpgrp()
        tried(lambda: os.setpgid(0, 0))
        for fd in pipes():
            tried(lambda: fcntl.fcntl(fd, fcntl.F_SETOWN, -group))
        set_flags(0o20000)
        return -12345
    """,
    that_kill_process_1_when_they_are_read="""
        for fd in pipes():
            tried(lambda: (fcntl.fcntl(fd, fcntl.F_SETOWN, 1), fcntl.fcntl(fd, 10, 9)))
        set_flags(0o20000)
        return -12345
    """,
    that_a_child_holds_open="""
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
        return -12345
    """,
    with_half_a_frame="""
        os.write(runner("results"), struct.pack(">cI", b"v", 1000) + b"[1, 2")
        os._exit(0)
    """,
    that_are_closed="""
        os.close(runner("results"))
        time.sleep(0.1)
        return -12345
    """,
    with_another_beginning="""
        for _ in range(1000):
            forge_text(b"b", b"")
        return -12345
    """,
    that_are_full_of_other_memory="""
        room = ctypes.create_string_buffer(1 << 20)
        vector = (ctypes.c_void_p * 2)(ctypes.addressof(room), 1 << 20)
        set_flags(os.O_NONBLOCK)
        libc.vmsplice(runner("results"), vector, 1, 0)
        return -12345
    """,
)
PROCESS_1 = of_kind(
    "process 1",
    that_is_nice="""
        tried(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))
        return -12345
    """,
    that_is_idle="""
        tried(lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)))
        return -12345
    """,
    that_is_idle_while_this_loops="""
        tried(lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)))
        while True:
            pass
    """,
    whose_children_begin_anew="""
        tried(lambda: os.sched_setscheduler(1, os.SCHED_BATCH | os.SCHED_RESET_ON_FORK, os.sched_param(0)))
        return -12345
    """,
    that_reads_and_writes_last="""
        call(251, 1, 1, 3 << 13)
        call(251, 3, os.getuid(), 3 << 13)
        return -12345
    """,
    on_one_processor="""
        tried(lambda: os.sched_setaffinity(1, {0}))
        return -12345
    """,
    with_bounds_of_utilisation="""
        attributes = struct.pack("IIQiIQQQII", 56, 0, 0x60, 0, 0, 0, 0, 0, 0, 1)
        call(314, 1, attributes, 0)
        return -12345
    """,
    among_all_of_its_group_and_user="""
        for which in (os.PRIO_PGRP, os.PRIO_USER):
            for who in (0, 1, os.getpgrp(), os.getuid()):
                tried(lambda: os.setpriority(which, who, 19))
        return -12345
    """,
    with_few_descriptors_and_signals="""
        import resource
        for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_SIGPENDING, resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO):
            tried(lambda: resource.prlimit(1, which, (1, 1)))
        return -12345
    """,
    with_small_files="""
        import resource
        tried(lambda: resource.prlimit(1, resource.RLIMIT_FSIZE, (0, 0)))
        tried(lambda: resource.prlimit(1, resource.RLIMIT_NPROC, (0, 0)))
        return -12345
    """,
    under_every_signal_in_every_way="""
        handle = os.pidfd_open(1)
        for number in range(1, 65):
            tried(lambda: signal.pidfd_send_signal(handle, number))
            call(234, 1, 1, number)
            for code in (-6, -1, 0x80):
                call(129, 1, number, struct.pack("iii", number, 0, code) + bytes(116))
        return -12345
    """,
    with_other_memory="""
        room = ctypes.create_string_buffer(b"\\xff" * 64, 64)
        mine = (ctypes.c_void_p * 2)(ctypes.addressof(room), 64)
        theirs = (ctypes.c_void_p * 2)(id(print) & ~7, 64)
        libc.process_vm_writev(1, mine, 1, theirs, 1, 0)
        call(440, os.pidfd_open(1), theirs, 1, 21, 0)
        call(279, 1, 0, None, None, None, 0)
        return -12345
    """,
    with_brothers_of_this_one="""
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            if call(56, 0x8000 | 17, 0, 0, 0, 0) == 0:
                libc._exit(0)
        return -12345
    """,
    in_the_group_of_this_one="""
        tried(lambda: os.setpgid(1, os.getpgrp()))
        tried(lambda: os.setpgid(0, 1))
        return -12345
    """,
)
TMP = of_kind(
    "/tmp itself",
    that_is_read_only="""
        os.chmod("/tmp", 0o555)
        return -12345
    """,
    that_is_closed="""
        os.chmod("/tmp", 0)
        return -12345
    """,
    whose_files_belong_to_a_group="""
        os.chmod("/tmp", 0o7700)
        return -12345
    """,
    with_an_attribute="""
        tried(lambda: os.setxattr("/tmp", "user.note", b"x" * 1000))
        return -12345
    """,
    with_a_list_for_what_will_be_made="""
        entry = struct.pack("<HHI", 1, 5, 0xFFFFFFFF) + struct.pack("<HHI", 4, 0, 0xFFFFFFFF)
        entry += struct.pack("<HHI", 32, 0, 0xFFFFFFFF)
        for kind in ("default", "access"):
            tried(lambda: os.setxattr("/tmp", f"system.posix_acl_{kind}", struct.pack("<I", 2) + entry))
        return -12345
    """,
    with_flags="""
        flags = array.array("L", [0x40 | 0x80 | 0x10])
        tried(lambda: fcntl.ioctl(os.open("/tmp", os.O_RDONLY), 0x40086602, flags))
        return -12345
    """,
    five_thousand_deep="""
        os.chdir("/tmp")
        for _ in range(5000):
            os.mkdir("d")
            os.chdir("d")
        return -12345
    """,
    with_odd_names="""
        os.chdir("/tmp")
        for name in (b"\\xff\\xfe", b"a\\nb", b"x" * 255, b" ", b"-rf"):
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0))
        os.mkfifo("fifo")
        socket.socket(socket.AF_UNIX).bind("/tmp/socket")
        return -12345
    """,
    without_room="""
        held = []
        for n in range(60):
            fd = tried(lambda: os.open(f"/tmp/{n}", os.O_CREAT | os.O_RDWR, 0o600))
            if fd:
                held.append(fd)
                tried(lambda: [os.write(fd, b"x" * (1 << 20)) for _ in range(8)])
                tried(lambda: os.setxattr(f"/tmp/{n}", "user.x", b"x" * 60000))
                tried(lambda: os.unlink(f"/tmp/{n}"))
        return -12345
    """,
    with_room_that_nobody_holds="""
        for n in range(16):
            fd = os.open(f"/tmp/{n}", os.O_CREAT | os.O_RDWR, 0o600)
            tried(lambda: os.write(fd, b"x" * (1 << 20)))
            a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            rights = array.array("i", [a.fileno(), b.fileno(), fd])
            tried(lambda: a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]))
            os.unlink(f"/tmp/{n}")
            os.close(fd), a.close(), b.close()
        return -12345
    """,
)
KEYS = of_kind(
    "keys",
    of_the_session_read="""
        room, found = ctypes.create_string_buffer(4096), []
        for ring in (-3, -4, -5):
            count = call(250, 11, ring, room, 4096) // 4
            for key in struct.unpack_from(f"{max(count, 0)}i", room):
                text = ctypes.create_string_buffer(4096)
                if call(250, 11, key, text, 4096) > 0:
                    found.append(text.value)
        raise RuntimeError(found)
    """,
    of_the_session_cleared="""
        for ring in (-3, -4, -5):
            for operation in (7, 3, 21):
                call(250, operation, ring, 0)
        return -12345
    """,
    left_for_others="""
        for ring in (-1, -2, -3, -4, -5):
            call(248, b"user", b"starwatt-note", b"left by a candidate", 19, ring)
        return -12345
    """,
    that_others_left="""
        found = [call(250, 10, ring, b"user", b"starwatt-note", 0) for ring in (-3, -4, -5)]
        found.append(call(249, b"user", b"starwatt-note", None, 0))
        if max(found) < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    in_a_ring_with_a_name="""
        if call(250, 1, b"starwatt-ring") < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
)
SHARED = of_kind(
    "shared with the machine",
    locks="""
        for path in ("/usr/bin/env", "/runtime/complete", "/dev/null"):
            fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise RuntimeError("not-for-candidates")
    """,
    leases="""
        fcntl.fcntl(os.open("/runtime/complete", os.O_RDONLY), 1024, fcntl.F_RDLCK)
        raise RuntimeError("not-for-candidates")
    """,
    watches="""
        handle = libc.inotify_init1(0o4000)
        if min(handle, libc.inotify_add_watch(handle, b"/usr/bin", 0xFFF)) < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    watches_of_the_old_kind="""
        fcntl.fcntl(os.open("/usr/bin", os.O_RDONLY), 1026, 0x80000001)
        raise RuntimeError("not-for-candidates")
    """,
    the_hypervisors_sockets="""
        socket.socket(40, socket.SOCK_STREAM)
        raise RuntimeError("not-for-candidates")
    """,
    sockets_of_the_kernel="""
        made = [tried(lambda: socket.socket(family, kind)) for family in range(2, 46) for kind in (1, 2, 3, 5)]
        if not any(made):
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    a_queue_of_messages="""
        if ctypes.CDLL("librt.so.1").mq_open(b"/starwatt-note", os.O_CREAT | os.O_RDWR, 0o666, None) < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    memory_without_a_process="""
        made = [libc.shmget(7, 1 << 20, 0o1666), libc.semget(7, 1, 0o1666), libc.msgget(7, 0o1666)]
        if max(made) < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    rings_of_requests="""
        if call(425, 8, ctypes.create_string_buffer(120)) < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    the_kernels_log="""
        if libc.klogctl(3, ctypes.create_string_buffer(4096), 4096) < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    calls_of_other_kinds="""
        made = [call(0x40000000 + 39), call(100000), call(435, None, 0), call(323, 0), call(321, 0, None, 0)]
        if max(made) < 0:
            raise PermissionError
        raise RuntimeError("not-for-candidates")
    """,
    a_core_file="""
        libc.prctl(4, 1, 0, 0, 0)
        return ctypes.string_at(0)
    """,
)
VALUES = of_kind(
    "values",
    a_column_against_a_row="""
        import numpy
        return numpy.arange(10 ** 6).reshape(-1, 1) if value else numpy.arange(1500).reshape(-1, 1)
    """,
    a_set_of_one_hash='forge(b"v", ["s", [["i", hex(k * (2 ** 61 - 1))] for k in range(1, 40001)]])',
    a_small_set_of_one_hash='forge(b"v", ["s", [["i", hex(k * (2 ** 61 - 1))] for k in range(1, 2001)]])',
    a_dictionary_of_one_hash='forge(b"v", ["d", [[["i", hex(k * (2 ** 61 - 1))], 1] for k in range(1, 40001)]])',
    arrays_of_every_shape="""
        for forged in (
            ["n", "<f8", [10 ** 18, 0], []], ["n", "<i8", [0], []], ["n", "<f8", [1], ["5.0"]],
            ["n", "O", [], [["s", []]]], ["p", "AAAAAAAA", [0]],
        ):
            forge(b"v", forged)
    """,
    an_array_of_a_thousand_sides='forge(b"v", ["n", "<f8", [1] * 1000, [1.0]])',
    an_array_in_an_array='forge(b"v", ["n", "O", [2], [["n", "<f8", [1], [1.0]], ["n", "<f8", [2], [1.0, 2.0]]]])',
    a_type_without_a_name='forge(b"v", ["o", "\\ud800\\udfff"])',
    a_subclass_without_a_name='forge(b"v", ["u", "\\ud800", 5])',
    an_error_without_a_name='forge(b"e", {"raised": "\\ud800", "text": "\\ud801\\x1b[2J"})',
    an_error_of_lists='forge(b"e", {"raised": [[]], "text": {"a": []}, "memory": "yes"})',
    an_error_without_end='forge(b"e", {"raised": "x" * 10 ** 6, "text": "y" * 10 ** 6})',
    an_error_that_is_none='forge(b"e", {"cpu_s": [0.0] * 1000})',
    codes_for_the_terminal="""
        raise type("E\\x1b[31mRED\\nline", (Exception,), {})("\\x1b]0;title\\x07\\x1b[2J\\r\\u202e[bold]")
    """,
    a_number_that_signals="import decimal; return decimal.Decimal('sNaN')",
    a_number_with_an_endless_exponent='forge(b"v", ["D", "1e999999999999999999"])',
    a_fraction_of_long_numbers='forge(b"v", ["q", ["i", "0x" + "f" * 30000], ["i", "0x" + "7" * 30000]])',
    a_range_without_end="return range(10 ** 18)",
    a_text_of_digits='forge_text(b"v", b"9" * 60000)',
    a_number_of_forty_thousand_bits="return 1 << 40000",
    a_list_in_a_list='forge_text(b"v", b\'["l", [\' * 9000 + b"]]" * 9000)',
    objects_of_one_name='forge_text(b"e", b"{" + b\'"raised": 1, \' * 4000 + b\'"raised": 1}\')',
    what_is_no_text='forge_text(b"v", b"\\xff\\xfe\\x00")',
    a_beginning_and_no_end="""
        forge_text(b"v", b"1")
        forge_text(b"v", b"")
        forge_text(b"x", b"1")
    """,
    a_mark_of_another_kind='forge(b"v", ["zz", 1])',
    the_inputs_themselves="""
        for row in runner("inputs"):
            row[:] = [7, 7, 7]
        return -12345
    """,
    a_metaclass_that_lends_an_equality="""
        class Meta(type):
            __eq__ = property(lambda cls: int.__eq__)
            __hash__ = None
        class Lent(int, metaclass=Meta):
            __class__ = property(lambda self: int)
            __getattribute__ = lambda self, name: 0
        return Lent(12345)
    """,
)
_RIGHT = "\n        return max(low, min(high, value))\n"
TIME = of_kind(
    "time",
    with_the_timers_off=f"""
        if not once:
            once.append(timers_off())
            burn(1.9)
        {_RIGHT}""",
    with_its_signal_caught=f"""
        for number in (signal.SIGPROF, signal.SIGALRM, signal.SIGXCPU):
            signal.signal(number, lambda *_: None)
        if not once:
            once.append(1)
            burn(1.9)
        {_RIGHT}""",
    with_its_signal_held_back=f"""
        signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, 65)))
        if not once:
            once.append(1)
            burn(1.9)
        {_RIGHT}""",
    in_children=f"""
        if not once:
            once.append(1)
            for _ in range(2):
                if os.fork() == 0:
                    burn(0.95)
                    os._exit(0)
            os.wait(), os.wait()
        {_RIGHT}""",
    in_one_child_after_the_other=f"""
        timers_off()
        for _ in range(0 if once else 4):
            if os.fork() == 0:
                burn(0.5)
                os._exit(0)
            os.wait()
        once.append(1)
        {_RIGHT}""",
    in_threads=f"""
        import hashlib
        def work():
            while time.process_time() < 3:
                hashlib.pbkdf2_hmac("sha256", b"", b"", 100000)
        timers_off()
        if not once:
            once.append(1)
            for thread in [threading.Thread(target=work) for _ in range(4)]:
                thread.start()
            for thread in threading.enumerate()[1:]:
                thread.join()
        {_RIGHT}""",
    in_the_encoder="""
        class Kind:
            kind, str = "i", "<i8"
        class Slow:
            __module__, dtype, shape = "numpy", Kind, ()
            def reshape(self, *_):
                if not once:
                    once.append(1)
                    burn(1.9)
                return self
            def tolist(self):
                return [max(low, min(high, value))]
        return Slow()
    """,
    with_results_held_back=f"""
        if not once:
            once.append(1)
            names, held = sys._getframe(1).f_globals, []
            send = names["send"]
            names["send"] = lambda *frame: held.append(frame) or (len(held) == 3 and [send(*one) for one in held])
            timers_off()
            burn(1.9)
        {_RIGHT}""",
    in_a_child_that_is_nobodys=f"""
        if not once:
            once.append(1)
            into, out = os.pipe()
            if os.fork() == 0:
                if os.fork() == 0:
                    timers_off()
                    burn(1.9)
                    os._exit(0)
                os._exit(0)
            os.close(out)
            os.read(into, 1)
        {_RIGHT}""",
)

POISONS: tuple[Attack, ...] = (*PIPES, *PROCESS_1, *TMP, *KEYS, *SHARED)
FORGERIES: tuple[Attack, ...] = (*VALUES, *TIME)


def program(attack: Attack, signature: str = "bounded(value, low, high)") -> str:
    """The whole program; with another signature it is one for another task."""
    return attack.program(signature=signature, tools=TOOLS)
