"""Programs that aim at the grader from inside: its comparisons, its runner, its descriptors, its verdict."""

from __future__ import annotations

from tests.analysis.grading.programs.attack import of_kind

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
