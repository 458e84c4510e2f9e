"""Programs that reach for what lies outside the sandbox: network, files, environment, other processes."""

from __future__ import annotations

from tests.analysis.grading.programs.attack import of_kind

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
