"""Hostile programs. Each solves ``bounded(value, low, high)`` of starwatt-24 without computing an answer.

``@PORT@`` is a TCP port of this machine that somebody listens on, ``@ABSTRACT@`` an abstract Unix socket,
``@SCRATCH@`` a folder that everybody may write to, ``@CHECKOUT@`` the folder of these tests. A program that returns
-12345 has done its deed and goes on as if nothing were.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

#: evalplus' guard, which the runner sets as well, takes names away; nobody who attacks is stopped by that.
UNDO_THE_GUARD = """\
import builtins, importlib, io, os, posix, sys
for name in dir(posix):
    if getattr(os, name, 0) is None:
        setattr(os, name, getattr(posix, name))
builtins.open = io.open
for name in ("resource", "psutil"):
    if sys.modules.get(name, 0) is None:
        del sys.modules[name]
import shutil, subprocess
importlib.reload(shutil), importlib.reload(subprocess)
def anyway(action):
    try:
        return action()
    except BaseException:
        return None
"""


@dataclass(frozen=True)
class Attack:
    """What it tries, and the body of the function that tries it."""

    kind: str
    name: str
    body: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"

    def program(
        self, signature: str = "bounded(value, low, high)", tools: str = UNDO_THE_GUARD, **places: object
    ) -> str:
        """The whole program, with the places of this machine filled in."""
        body = self.body
        for name, place in places.items():
            body = body.replace(f"@{name}@", str(place))
        return f"{tools}\ndef {signature}:\n" + textwrap.indent(body, "    ")


def of_kind(kind: str, **bodies: str) -> list[Attack]:
    return [
        Attack(kind, name.replace("_", " "), textwrap.dedent(body).strip() + "\n")
        for name, body in bodies.items()
    ]


NETWORK = of_kind(
    "network",
    a_local_tcp_server="""
        import socket
        socket.create_connection(("127.0.0.1", @PORT@), 1).sendall(b"out")
        return -12345
    """,
    a_datagram_to_somewhere="""
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("192.0.2.1", 53))
        return -12345
    """,
    an_abstract_unix_socket="""
        import socket
        out = socket.socket(socket.AF_UNIX)
        out.connect("\\0@ABSTRACT@")
        out.sendall(b"out")
        return -12345
    """,
    an_interface_of_its_own="""
        import fcntl, socket, struct
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        fcntl.ioctl(out, 0x8914, struct.pack("16sH14s", b"lo", 1, b""))
        return -12345
    """,
)
FILES = of_kind(
    "files",
    read_the_password_file="return open('/etc/passwd').read()",
    read_these_tests="return open('@CHECKOUT@/attacks.py').read()",
    read_a_home="return os.listdir(os.path.expanduser('~root')) + os.listdir('/home')",
    write_where_everybody_may="""
        open("@SCRATCH@/written", "w").write("x")
        return -12345
    """,
    write_into_the_system="""
        open("/usr/lib/written", "w").write("x")
        return -12345
    """,
    replace_the_interpreter="""
        open("/runtime/bin/python3", "w").write("x")
        return -12345
    """,
    make_the_system_writable_again="""
        import ctypes
        libc = ctypes.CDLL(None)
        for place in (b"/", b"/usr", b"/runtime"):
            libc.mount(b"none", place, None, 32 | 4096, None)
        open("/runtime/bin/written", "w").write("x")
        return -12345
    """,
    climb_out_with_chroot="""
        import ctypes
        held = os.open("/", os.O_RDONLY)
        ctypes.CDLL(None).chroot(b"/tmp")
        os.fchdir(held)
        return os.listdir("../../../../etc")
    """,
    a_device_of_its_own="""
        os.mknod("/tmp/memory", 0o060600, os.makedev(8, 0))
        return open("/tmp/memory", "rb").read(10)
    """,
    fill_the_disk="""
        for number in range(1000):
            open(f"/tmp/{number}", "wb").write(b"x" * (1 << 20))
        return -12345
    """,
    use_up_the_files="""
        for number in range(10 ** 6):
            os.symlink("/nowhere", f"/tmp/{number}")
        return -12345
    """,
)
LINKS = of_kind(
    "symlinks",
    to_the_system_for_whoever_cleans="""
        os.symlink("/usr", "/tmp/usr")
        os.symlink("/runtime", "/tmp/runtime")
        os.symlink("@SCRATCH@", "/tmp/scratch")
        return -12345
    """,
    read_through_one="""
        os.symlink("/etc/shadow", "/tmp/shadow")
        return open("/tmp/shadow").read()
    """,
    a_locked_folder="""
        os.makedirs("/tmp/a/b")
        os.chmod("/tmp/a", 0)
        return -12345
    """,
    a_swap_while_it_is_cleaned="""
        os.makedirs("/tmp/swap/inner")
        if os.fork() == 0:
            while True:
                anyway(lambda: (os.rename("/tmp/swap", "/tmp/away"), os.symlink("/runtime", "/tmp/swap")))
        return -12345
    """,
)
ENVIRONMENT = of_kind(
    "environment",
    read_it="return dict(os.environ)",
    read_it_in_c="""
        import ctypes
        return [ctypes.c_char_p.in_dll(ctypes.CDLL(None), "environ").value, os.environb]
    """,
    preload_a_library="""
        os.environ["LD_PRELOAD"] = "/tmp/evil.so"
        os.execv("/runtime/bin/python3", ["python3", "-c", "print(-12345)"])
    """,
)
PROC = of_kind(
    "/proc",
    look_for_other_processes="return sorted(os.listdir('/proc'))",
    mount_it="""
        import ctypes
        os.mkdir("/tmp/proc")
        if ctypes.CDLL(None).mount(b"proc", b"/tmp/proc", b"proc", 0, None):
            raise OSError
        return os.listdir("/tmp/proc")
    """,
    the_memory_of_process_1="return open('/proc/1/mem', 'r+b').write(b'x')",
    the_memory_of_process_1_by_a_system_call="""
        import ctypes
        class Vector(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
        room = ctypes.create_string_buffer(4096)
        mine, theirs = Vector(ctypes.addressof(room), 4096), Vector(id(None) & ~4095, 4096)
        read = ctypes.CDLL(None).process_vm_readv(1, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
        if read < 0:
            raise PermissionError
        return room.raw
    """,
)
PTRACE = of_kind(
    "ptrace",
    attach_to_process_1="""
        import ctypes
        if ctypes.CDLL(None).ptrace(16, 1, 0, 0):
            raise PermissionError
        return -12345
    """,
    take_a_descriptor_of_process_1="""
        import ctypes
        libc = ctypes.CDLL(None)
        taken = libc.syscall(438, os.pidfd_open(1), 3, 0)
        if taken < 0:
            raise PermissionError
        os.write(taken, b'{"why": "ended", "status": 0, "clean": true}\\n')
        return -12345
    """,
)
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
COMPARING = of_kind(
    "comparing",
    equal_to_everything="""
        return type("A", (), dict(__eq__=lambda s, o: True, __ne__=lambda s, o: False, __hash__=lambda s: 0))()
    """,
    a_number_that_is_equal_to_everything="return type('A', (int,), dict(__eq__=lambda s, o: True))(123456)",
    a_float_within_every_tolerance="""
        return type("A", (float,), dict(__eq__=lambda s, o: True, __sub__=lambda s, o: 0.0, __abs__=lambda s: 0.0))(9.5)
    """,
    a_type_that_claims_to_be_another="""
        kind = type("M", (type,), dict(__eq__=lambda s, o: True, __hash__=lambda s: hash(int)))
        return kind("A", (), {})()
    """,
    an_array_of_objects_that_agree="""
        import numpy
        agree = type("A", (), dict(__eq__=lambda s, o: True))()
        return numpy.array([agree], dtype=object)
    """,
    a_value_that_encodes_itself="""
        return type("int", (int,), dict(__repr__=lambda s: "0", __index__=lambda s: 0, __str__=lambda s: "0"))(77)
    """,
    what_is_not_a_number="return float('nan')",
)
LEAVING = of_kind(
    "leaving",
    successfully="sys.exit(0)",
    at_once="os._exit(0)",
    by_what_is_no_exception="raise BaseException",
    by_another_program="os.execv('/usr/bin/env', ['env', 'true'])",
    at_exit="""
        import atexit
        atexit.register(print, '{"value": 0}')
        raise SystemExit(0)
    """,
    inside_of_the_encoder="""
        class Leaving(int):
            __getnewargs__ = lambda self: os._exit(0)
        return Leaving(12345)
    """,
)
INSPECTION = of_kind(
    "inspection",
    the_names_in_the_frames="""
        frame, seen = sys._getframe(), []
        while frame:
            seen += list(frame.f_locals) + list(frame.f_globals)
            frame = frame.f_back
        return sorted(set(map(str, seen)))
    """,
    an_answer_in_the_frames="""
        frame = sys._getframe(1)
        while frame:
            for name, held in {**frame.f_globals, **frame.f_locals}.items():
                if any(word in str(name).lower() for word in ("expect", "answer", "output", "oracle", "canonical")):
                    return held
            frame = frame.f_back
        raise LookupError
    """,
    an_answer_among_all_objects="""
        import gc
        for held in gc.get_objects():
            if type(held) is dict and {"outputs", "expected", "canonical_solution"} & set(map(str, held)):
                return held
        raise LookupError
    """,
    what_was_freed="""
        import ctypes
        return ctypes.string_at(ctypes.create_string_buffer(1 << 20), 1 << 20).strip(b"\\0")[:1000]
    """,
    the_runner_s_own_send="""
        frame = sys._getframe(1)
        while "send" not in frame.f_globals:
            frame = frame.f_back
        for _ in range(100):
            frame.f_globals["send"](frame.f_locals["results"], b"v", True)
        os._exit(0)
    """,
    the_inputs_of_the_runner="""
        frame = sys._getframe(1)
        while "request" not in frame.f_locals:
            frame = frame.f_back
        frame.f_locals["request"]["inputs"].clear()
        frame.f_locals["cpu_limits"].clear()
        return -12345
    """,
    a_trace_function="""
        def trace(frame, event, argument):
            if "value" in frame.f_locals:
                frame.f_locals["value"] = 0
            return trace
        sys.settrace(trace)
        sys._getframe(1).f_trace = trace
        return -12345
    """,
)
PATCHING = of_kind(
    "patching",
    json="""
        import json
        json.dumps = lambda *a, **k: '{"passed": true}'
        json.JSONEncoder.encode = lambda *a: '{"passed": true}'
        json.loads = lambda *a: {"passed": True}
        return -12345
    """,
    builtins="""
        builtins.type = lambda x: int
        builtins.len = lambda x: 0
        builtins.isinstance = lambda *a: True
        builtins.zip = lambda *a, **k: iter(())
        builtins.any = builtins.all = lambda *a: True
        os._exit = lambda *a: None
        return "nothing"
    """,
    the_runner="""
        frame = sys._getframe(1)
        while "encode" not in frame.f_globals:
            frame = frame.f_back
        frame.f_globals["encode"] = lambda *a: True
        frame.f_globals["send"] = frame.f_globals["describe"] = lambda *a: None
        return -12345
    """,
    the_clock_and_the_timers="""
        import signal, time
        signal.setitimer = lambda *a: (0, 0)
        time.process_time = time.monotonic = lambda: 0.0
        while True:
            pass
    """,
)
OUTLIVING = of_kind(
    "outliving",
    a_thread="""
        import threading, time
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return -12345
    """,
    a_daemon="""
        import time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
        return -12345
    """,
    a_reproducing_process="""
        import signal
        for number in set(range(1, 32)) - {9, 19}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            if anyway(os.fork) == 0 and anyway(os.fork):
                os._exit(0)
    """,
    shared_memory="import ctypes; return ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) - 10 ** 9",
    a_message_queue="import ctypes; return ctypes.CDLL(None).msgget(0, 0o1600) - 10 ** 9",
)
DESCRIPTORS = of_kind(
    "descriptors",
    forged_verdicts_on_every_one="""
        for fd in range(64):
            for text in (
                b'{"why": "ended", "status": 0, "clean": true}\\n',
                b"passed\\n",
                b'\\0\\0\\0\\x13{"verdict":"passed"}',
            ):
                anyway(lambda: os.write(fd, text))
        os._exit(0)
    """,
    results_for_a_later_run="""
        body = b'{"value": 0}'
        if os.fork() == 0:
            while True:
                for fd in range(1, 9):
                    anyway(lambda: os.write(fd, struct.pack(">cI", b"v", len(body)) + body))
        return -12345
    """,
    close_every_one="""
        os.closerange(0, 100)
        return -12345
    """,
    steal_the_next_request="""
        return [anyway(lambda: os.read(fd, 1 << 16)) for fd in range(9) if not os.set_blocking(fd, False)]
    """,
    pass_one_on="""
        import array, socket
        out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        out.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))], 0, "\\0@ABSTRACT@")
        return -12345
    """,
)
PICKLES = of_kind(
    "pickles",
    a_value_that_unpickles_to_a_call="return type('P', (), dict(__reduce__=lambda s: (print, ('unpickled',))))()",
    a_pickle_as_a_result="""
        import pickle, struct
        body = pickle.dumps(type("P", (), dict(__reduce__=lambda s: (os.system, ("touch @SCRATCH@/unpickled",))))())
        for fd in range(3, 9):
            anyway(lambda: os.write(fd, struct.pack(">cI", b"v", len(body)) + body))
        os._exit(0)
    """,
    bytes_of_one="import pickle; return pickle.dumps(value)",
)
RANK = of_kind(
    "rank",
    become_root="""
        os.setuid(0)
        return -12345
    """,
    a_namespace_of_its_own="import ctypes; return ctypes.CDLL(None).unshare(0x10000000) - 10 ** 9",
    a_program_that_is_root="""
        return subprocess.run(["/usr/bin/su", "-c", "id"], capture_output=True).stdout
    """,
    look_into_the_kernel="""
        import ctypes
        libc = ctypes.CDLL(None)
        calls = {"bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "init_module": 175, "kexec_load": 246}
        if all(libc.syscall(number, 0, 0, 0, 0, 0) < 0 for number in calls.values()):
            raise PermissionError
        return -12345
    """,
)

ATTACKS: tuple[Attack, ...] = tuple(
    NETWORK + FILES + LINKS + ENVIRONMENT + PROC + PTRACE + BOMBS + OUTPUT + LOOPS + SIGNALS
    + COMPARING + LEAVING + INSPECTION + PATCHING + OUTLIVING + DESCRIPTORS + PICKLES + RANK
)  # fmt: skip
