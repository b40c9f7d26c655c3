"""Attempts as a Python program makes them. The same contract as the C ones:

escape.py list            every attempt: name, theme, how
escape.py NAME key=...    one line: held: why, ESCAPED: evidence, look: path
"""

import array
import ctypes
import mmap
import multiprocessing
import os
import pty
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

given = {}
attempts = {}


class Held(Exception):
    pass


class Escaped(Exception):
    pass


class Look(Exception):
    pass


def attempt(how=""):
    def add(f):
        attempts["py-" + f.__name__.replace("_", "-")] = (how, f)
        return f
    return add


def found(data, what):
    """Judges what was read."""
    if isinstance(data, str):
        data = data.encode(errors="replace")
    if given["cookie"].encode() in data:
        raise Escaped(what)


def inside(name):
    return os.path.join(given["dir"], name)


def said(*argv, **more):
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, **more)
    return r.stdout


libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    r = libc[name](*args)
    if r < 0:
        e = ctypes.get_errno()
        raise Held(f"{name}: {os.strerror(e)}")
    return r


@attempt()
def open_secret():
    with open(given["secret"]) as f:
        found(f.read(), "the secret is read")


@attempt()
def walk_for_cookie():
    """Everything that can be seen, for three seconds, in search of the cookie."""
    end = time.monotonic() + 3
    mine = {given["self"], __file__}
    for top in ("/tmp", "/home", "/root", "/srv", "/opt", "/run", "/mnt", "/etc", "/var"):
        for d, dirs, files in os.walk(top):
            if time.monotonic() > end:
                raise Held("three seconds are over")
            dirs[:] = [x for x in dirs if not os.path.islink(os.path.join(d, x))]
            for f in files:
                p = os.path.join(d, f)
                if f != "secret" or p in mine:
                    continue
                try:
                    with open(p, "rb") as h:
                        found(h.read(4096), f"{p} is found by walking")
                except OSError:
                    pass
    raise Held("nothing was found")


@attempt()
def dir_fd():
    for start in ("/", ".", "/tmp", given["dir"], given["readdir"]):
        fd = os.open(start, os.O_RDONLY)
        for up in range(12):
            p = "../" * up + given["secret"].lstrip("/")
            try:
                with open(os.open(p, os.O_RDONLY, dir_fd=fd), "rb") as f:
                    found(f.read(), f"from {start} by {p}")
            except OSError:
                pass
    raise Held("from no directory")


@attempt()
def sqlite_attach():
    db = sqlite3.connect(":memory:")
    db.execute("attach database ? as s", (given["secret"] + ".db",))
    found(repr(db.execute("select * from s.t").fetchall()), "a database outside is read")


@attempt()
def tar_slip():
    """An archive whose member leaves the directory it is unpacked in."""
    p = inside("slip.tar")
    out = os.path.dirname(given["secret"]) + "/slipped"
    with tarfile.open(p, "w") as t:
        m = tarfile.TarInfo("x")
        m.type, m.linkname = tarfile.SYMTYPE, os.path.dirname(given["secret"])
        t.addfile(m)
        t.addfile(tarfile.TarInfo("x/slipped"))
    with tarfile.open(p) as t:
        t.extractall(given["dir"])
    raise Look(out)


@attempt()
def shared_memory():
    from multiprocessing import shared_memory as sm
    m = sm.SharedMemory(given["posix"])
    found(bytes(m.buf[:64]), "shared memory of the host")


@attempt()
def mmap_secret():
    with open(given["secret"], "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        found(m[:], "the secret is mapped")


@attempt()
def multiprocess():
    """A worker of a pool is as confined as the program."""
    with multiprocessing.Pool(2) as pool:
        found(pool.map(_read, [given["secret"]])[0], "a worker reads the secret")
    raise Held("the workers read nothing")


def _read(p):
    try:
        with open(p) as f:
            return f.read()
    except OSError as e:
        return str(e)


@attempt()
def thread():
    got = []
    t = threading.Thread(target=lambda: got.append(_read(given["secret"])))
    t.start()
    t.join()
    found(got[0], "a thread reads the secret")
    raise Held(got[0])


@attempt()
def pty_child():
    """A shell under a terminal of the program's own."""
    out = []

    def read(fd):
        d = os.read(fd, 4096)
        out.append(d)
        return d

    null = os.open("/dev/null", os.O_RDWR)
    keep, keep0 = os.dup(1), os.dup(0)
    os.dup2(null, 1)
    os.dup2(null, 0)
    try:
        pty.spawn(["/bin/cat", given["secret"]], read)
    finally:
        os.dup2(keep, 1)
        os.dup2(keep0, 0)
    found(b"".join(out), "a child under a terminal reads the secret")
    raise Held(b"".join(out).decode(errors="replace").strip())


@attempt()
def environ_of_others():
    n = 0
    for p in os.listdir("/proc"):
        if p.isdigit() and int(p) not in (os.getpid(), os.getppid()):
            n += 1
            for f in ("environ", "cmdline", "auxv", "stack", "personality"):
                try:
                    with open(f"/proc/{p}/{f}", "rb") as h:
                        d = h.read(65536)
                except OSError:
                    continue
                if f == "environ":
                    found(d, f"the environment of process {p}")
    raise Held(f"{n} processes, no cookie")


@attempt()
def outer_memory():
    with open(f"/proc/{given['pid']}/mem", "rb", buffering=0) as f:
        f.seek(int(given["address"]))
        found(f.read(64), "the memory of the process outside")


@attempt()
def signal_outside():
    os.kill(int(given["pid"]), signal.SIGUSR1)
    time.sleep(0.25)
    raise Look(given["never"])


@attempt()
def pidfd_outside():
    fd = os.pidfd_open(int(given["pid"]))
    signal.pidfd_send_signal(fd, signal.SIGUSR2)
    time.sleep(0.25)
    raise Look(given["never"])


@attempt()
def connect():
    with socket.create_connection(("127.0.0.1", int(given["port"])), 1) as s:
        found(s.recv(64), "the host's loopback answers")
    raise Escaped("connected to the host's loopback")


@attempt()
def connect_name():
    with socket.create_connection(("localhost", int(given["port"])), 1) as s:
        found(s.recv(64), "localhost is the host")
    raise Escaped("connected to localhost")


@attempt()
def metadata():
    with socket.create_connection(("169.254.169.254", 80), 1):
        raise Escaped("the service that tells a machine its secrets")


@attempt()
def resolve():
    """A name is a message to whoever serves its domain."""
    r = socket.getaddrinfo("agentos-escape.example.com", 80)
    raise Escaped(f"a name was looked up: {r[0][4]}")


@attempt()
def abstract():
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0" + given["abstract"])
    found(s.recv(64), "a socket outside answers")
    raise Escaped("connected to a socket outside")


@attempt()
def rights():
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0" + given["abstract"] + "-r")
    _, anc, _, _ = s.recvmsg(16, socket.CMSG_SPACE(16))
    for _, _, data in anc:
        a = array.array("i")
        a.frombytes(data[:4])
        os.lseek(a[0], 0, 0)
        found(os.read(a[0], 4096), "a descriptor of the secret is handed over")
    raise Held("no descriptor came")


@attempt()
def packet():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raise Escaped("every packet of the machine")


@attempt()
def vsock():
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    raise Escaped(f"a socket to the hypervisor, {s.fileno()}")


@attempt()
def alg():
    s = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    raise Escaped(f"the kernel's ciphers, {s.fileno()}")


@attempt()
def unshare():
    call("unshare", 0x10000000)
    raise Escaped("a user namespace of its own")


@attempt()
def mount():
    call("mount", b"none", inside("").encode(), b"tmpfs", 0, None)
    libc.umount2(inside("").encode(), 2)
    raise Escaped("a file system is mounted")


@attempt()
def ptrace():
    call("ptrace", 0x4206, int(given["pid"]), 0, 0)  # SEIZE, which our end undoes
    raise Escaped("the process outside is traced")


@attempt()
def setuid():
    os.setuid(0 if os.getuid() else 1)
    raise Escaped(f"it is user {os.getuid()}")


@attempt()
def chroot():
    os.chroot(given["dir"])
    raise Escaped("the root is changed")


@attempt()
def setuid_file():
    p = inside("suid")
    with open(p, "w") as f:
        f.write("#!/bin/sh\n")
    os.chmod(p, 0o6755)
    if os.stat(p).st_mode & 0o6000:
        raise Escaped("a setuid file lies in a granted directory")
    raise Held("the bits did not stay")


@attempt()
def setuid_unpacked():
    """As tar does it, with a mode that is in the archive."""
    p = inside("suid.tar")
    with tarfile.open(p, "w") as t:
        m = tarfile.TarInfo("unpacked")
        m.mode = 0o4755
        t.addfile(m)
    with tarfile.open(p) as t:
        t.extractall(given["dir"])
    if os.stat(inside("unpacked")).st_mode & 0o4000:
        raise Escaped("a setuid file is unpacked into a granted directory")
    raise Held("the bit did not stay")


@attempt()
def limits():
    for name in ("NOFILE", "NPROC", "CORE", "FSIZE", "MEMLOCK", "RTPRIO", "NICE"):
        which = getattr(resource, "RLIMIT_" + name)
        hard = resource.getrlimit(which)[1]
        if hard == resource.RLIM_INFINITY:
            continue
        try:
            resource.setrlimit(which, (hard + 1, hard + 1))
        except (ValueError, OSError):
            continue
        raise Escaped(f"RLIMIT_{name} is raised above {hard}")
    raise Held("no hard limit goes up")


@attempt()
def write_through_read_grant():
    with open(given["rofile"], "r+") as f:
        f.write("x")
    raise Escaped("a file of a read grant is written")


@attempt()
def denied():
    with open(given["denied"]) as f:
        found(f.read(), "a denied file is read")


@attempt("survive")
def stay():
    if os.fork() == 0:
        os.setsid()
        for s in range(1, 32):
            try:
                signal.signal(s, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        time.sleep(10)
        os._exit(0)
    time.sleep(0.2)
    raise Look(given["never"])


@attempt("bomb")
def memory():
    limit = int(given["memory"])
    kept = []
    try:
        while len(kept) < 4 * limit >> 20:
            kept.append(bytearray(b"x" * (1 << 20)))
    except MemoryError:
        pass
    if len(kept) >= 2 * limit >> 20:
        raise Escaped(f"{len(kept)} MiB, the limit is {limit >> 20}")
    raise Held(f"{len(kept)} MiB")


@attempt("bomb")
def forks():
    limit, n = int(given["pids"]), 0
    try:
        while n < 4 * limit:
            if os.fork() == 0:
                time.sleep(2)
                os._exit(0)
            n += 1
    except OSError:
        pass
    if n > limit:
        raise Escaped(f"{n} processes, the limit is {limit}")
    raise Held(f"{n} processes")


@attempt()
def temporary():
    """Python's own temporary files are the program's own."""
    with tempfile.NamedTemporaryFile(delete=False, prefix="agentos-escape-") as f:
        raise Look(f.name)


def main():
    if sys.argv[1] == "list":
        for name, (how, _) in attempts.items():
            print(f"{name}\tpython\t{how}")
        return 0
    for a in sys.argv[2:]:
        k, _, v = a.partition("=")
        given[k] = v
    try:
        attempts[sys.argv[1]][1]()
        line = "held: it came to nothing"
    except Held as e:
        line = f"held: {e}"
    except Escaped as e:
        line = f"ESCAPED: {e}"
    except Look as e:
        line = f"look: {e}"
    except Exception as e:  # what refuses an attempt is an exception of any kind
        line = f"held: {type(e).__name__}: {e}"
    print(line.replace("\n", " "), flush=True)
    os._exit(1 if line.startswith("ESCAPED") else 0)


if __name__ == "__main__":
    main()
