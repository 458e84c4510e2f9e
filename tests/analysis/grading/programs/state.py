"""Programs that leave something behind for the next one: in pipes, in process 1, in /tmp, as keys, or shared."""

from __future__ import annotations

from tests.analysis.grading.programs.attack import of_kind

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
