"""Programs that send what the runner never would, or are right and too slow."""

from __future__ import annotations

from tests.analysis.grading.programs.attack import of_kind

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
