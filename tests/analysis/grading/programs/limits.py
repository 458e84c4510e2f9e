"""Programs that take more than they may: memory, processes, output, time, or signals against their clock."""

from __future__ import annotations

from tests.analysis.grading.programs.attack import of_kind

BOMBS = of_kind(
    "bombs",
    forks="""
        while True:
            os.fork()
    """,
    forks_that_catch_what_stops_them="""
        while True:
            anyway(os.fork)
    """,
    threads="""
        import threading, time
        for _ in range(10 ** 5):
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        return -12345
    """,
    memory="return len([bytearray(1 << 26) for _ in range(10000)])",
    memory_in_one_value="return 'x' * (1 << 30)",
    memory_that_is_shared="""
        import mmap
        held = [mmap.mmap(-1, 1 << 27) for _ in range(64)]
        for one in held:
            one.write(b"x" * (1 << 27))
        return -12345
    """,
    memory_behind_a_descriptor="""
        held = os.memfd_create("held")
        for _ in range(4096):
            os.write(held, b"x" * (1 << 20))
        return -12345
    """,
    memory_of_many_processes="""
        for _ in range(6):
            if os.fork() == 0:
                held = [anyway(lambda: bytearray(1 << 28)) for _ in range(7)]
                while True:
                    pass
        while True:
            pass
    """,
    nested_beyond_every_depth="""
        x = []
        for _ in range(100000):
            x = [x]
        return x
    """,
    values_that_collide="return {n * (2 ** 61 - 1) for n in range(1, 20000)}",
    a_number_without_end="return 10 ** (10 ** 6)",
)
OUTPUT = of_kind(
    "output",
    endless_printing="""
        while True:
            print("x" * 10000, flush=True)
    """,
    endless_results="""
        while True:
            for fd in range(3, 9):
                anyway(lambda: os.write(fd, bytes(65536)))
    """,
    one_result_without_end="""
        while True:
            for fd in range(3, 9):
                anyway(lambda: os.write(fd, b"\\xff" * 65536))
    """,
    a_result_nested_beyond_every_depth="""
        import struct
        body = b'{"value": ' + b"[" * 200000 + b"]" * 200000 + b"}"
        for fd in range(3, 9):
            anyway(lambda: os.write(fd, struct.pack(">cI", b"v", len(body)) + body))
        os._exit(0)
    """,
)
LOOPS = of_kind(
    "loops",
    in_python="""
        while True:
            pass
    """,
    that_catches_everything="""
        import signal
        for number in set(range(1, 32)) - {9, 19}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
    """,
    in_c="return sum(range(10 ** 14))",
    in_a_regular_expression="import re; return re.match('(a+)+$', 'a' * 64 + 'b')",
    in_c_with_every_timer_off="""
        import signal
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        return 3 ** (10 ** 9)
    """,
    asleep="""
        import time
        time.sleep(10 ** 6)
    """,
    that_raises_its_own_limits="""
        import resource, signal
        signal.setitimer(signal.ITIMER_PROF, 0)
        for which in range(16):
            anyway(lambda: resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
        anyway(lambda: os.nice(-20))
        while True:
            pass
    """,
)
SIGNALS = of_kind(
    "signals",
    kill_every_process="""
        for pid in (1, -1, 0, os.getppid(), os.getpid()):
            os.kill(pid, 9)
    """,
    stop_itself="""
        import signal
        os.kill(os.getpid(), signal.SIGSTOP)
    """,
    stop_process_1="""
        import signal
        for number in range(1, 65):
            anyway(lambda: os.kill(1, number))
        return -12345
    """,
    starve_process_1="""
        import resource
        for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            resource.prlimit(1, which, (1 << 16, 1 << 16))
        return -12345
    """,
    starve_process_1_of_processor_time="""
        import resource
        resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))
        return -12345
    """,
)
