package native

// gitEnv makes commits the same everywhere.
var gitEnv = []string{
	"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=2024-01-02T03:04:05Z",
	"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=2024-01-02T03:04:05Z",
	"GIT_CONFIG_NOSYSTEM=1",
}

var rows = []row{
	{
		name: "bash", does: "scripts with what shells are used for",
		needs: []string{"bash"},
		steps: [][]string{{"/bin/bash", "-ec", `
			trap 'echo bye' EXIT
			cat <<< "here $((6*7))" > note
			diff <(sort <(printf '%s\n' b a c)) <(printf '%s\n' a b c) && echo same
			for i in 1 2 3; do (sleep 0.0$i; exit $i) & done
			wait -n || echo first $?
			wait
			coproc tr a-z A-Z; echo shout >&"${COPROC[1]}"; exec {COPROC[1]}>&-; read -r x <&"${COPROC[0]}"; echo "$x"
			mkfifo pipe; echo through > pipe & cat pipe
			kill -0 $$ && echo alive
			(kill -TERM $BASHPID) || echo ended $?
			seq 100000 | head -1
			umask 027; touch private; stat -c %a private
			cat note`}},
		says: []string{"same", "SHOUT", "through", "ended 143", "640", "here 42", "bye"},
	},
	{
		name: "tar", does: "archives, finds, compares, and compresses",
		needs: []string{"tar", "find", "gzip", "xargs", "sha256sum"},
		steps: [][]string{sh(
			`mkdir -p src/a/b/c && cd src`,
			`i=0; while [ $i -lt 300 ]; do echo $i > a/b/f$i; i=$((i+1)); done`,
			`ln -s b/f1 a/link; ln a/b/f2 a/b/hard; chmod 600 a/b/f3; touch -d 2020-01-01 a/b/f4; : > "a/b/c/with space"`,
			`cd .. && tar --sort=name --mtime=2020-01-01 -cf one.tar src && gzip -9n one.tar`,
			`mkdir out && tar -xzf one.tar.gz -C out`,
			`diff -r src out/src && echo same`,
			`find out -type f -newermt 2019-01-01 -print0 | sort -z | xargs -0 sha256sum | sha256sum`,
			`find out -type l -printf '%P %l\n'; find out -links +1 -type f | wc -l; find out -perm 600`,
			`find out -delete; ls`)},
		says: []string{"same", "src/a/link b/f1", "src/a/b/f3"},
	},
	{
		name: "git", does: "initializes, commits, branches, merges, clones, packs",
		needs: []string{"git"},
		env:   gitEnv,
		files: map[string]string{"one.txt": "one\n", "deep/two.txt": "two\n"},
		steps: [][]string{sh(
			`git init -q -b main home && mv one.txt deep home && cd home`,
			`git add . && git commit -qm first && git checkout -qb side`,
			`echo more >> one.txt && git commit -qam second && git checkout -q main`,
			`echo else > three.txt && git add . && git commit -qm third && git merge -q --no-edit side`,
			`git stash list; git gc -q; git fsck --strict 2>&1 | grep -v '^dangling' || true`,
			`cd .. && git clone -q home copy && git clone -q --bare home bare && cd copy`,
			`git log --format='%h %s' --graph && git status --porcelain && git blame one.txt && git grep -n more`,
			`echo pushed > four.txt && git add . && git commit -qm fourth && git push -q ../bare main`,
			`git -C ../bare log -1 --stat --format=%s`,
			`git archive HEAD | tar -t`)},
		says: []string{"first", "four.txt | 1 +", "deep/two.txt"},
	},
	{
		name: "python", does: "databases, processes, threads, sockets, and files",
		needs: []string{"python3"},
		files: map[string]string{"main.py": pythonProgram},
		steps: [][]string{{"/usr/bin/python3", "main.py", "%DIR%"}},
		says:  []string{"rows 4000", "pool 285", "asyncio hello", "shared 42", "ssl True"},
	},
	{
		name: "perl", does: "forks, sockets, and text",
		needs: []string{"perl"},
		steps: [][]string{{"/usr/bin/perl", "-we", `use strict; use File::Temp; use IO::Socket::INET; use Digest::SHA 'sha256_hex'; use POSIX ':sys_wait_h'; use Storable;
			my $s = IO::Socket::INET->new(Listen=>1, LocalAddr=>"127.0.0.1") or die "listen: $!";
			my $pid = fork // die; if (!$pid) { my $c = IO::Socket::INET->new(PeerAddr=>"127.0.0.1", PeerPort=>$s->sockport) or die "connect: $!"; print $c "hello\n"; exit 3 }
			my $c = $s->accept; print "got ", scalar <$c>; waitpid $pid, 0; print "status ", $?>>8, "\n";
			my %n; $n{lc $_}++ for "The cat and the other cat" =~ /\w+/g; print join(",", map {"$_=$n{$_}"} sort keys %n), "\n";
			store \%n, "n.sto"; print sha256_hex(join ",", sort keys %{retrieve "n.sto"}), "\n";
			my $t = File::Temp->new; print $t "x" x 100000; close $t; print -s $t->filename, "\n";
			print "pipe ", scalar qx(echo from shell); $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 5;`}},
		says: []string{"got hello", "status 3", "cat=2", "100000", "pipe from shell", "alarm"},
	},
	{
		name: "make", does: "compiles and runs a project in C of several files",
		needs: []string{"make", "gcc", "ar"},
		files: map[string]string{"Makefile": makefile, "main.c": mainC, "queue.c": queueC, "queue.h": "int queue(void);\n", "timer.c": timerC},
		steps: [][]string{{"/usr/bin/make", "-s", "-j4", "check"}, {"/usr/bin/make", "-s", "clean"}},
		says:  []string{"queue: hello", "timers: 1", "mapped: 4096"},
	},
	{
		name: "rsync", does: "copies, and copies again what changed",
		needs: []string{"rsync"}, full: true,
		steps: [][]string{sh(
			`mkdir -p from/d && for i in $(seq 200); do echo $i > from/d/$i; done; ln -s d/1 from/l`,
			`rsync -a from/ to/ && diff -r from to && echo same`,
			`echo changed > from/d/7; touch -d 2030-01-01 from/d/7; rm from/d/8; rsync -a --delete from/ to/; cat to/d/7; test -e to/d/8 || echo deleted; diff -r from to && readlink to/l`)},
		says: []string{"same", "changed", "deleted", "d/1"},
	},
	{
		name: "node", does: "a server and its client, workers, children, and files",
		needs: []string{"node"}, full: true,
		files: map[string]string{"main.js": nodeProgram},
		steps: [][]string{{"/usr/bin/node", "main.js"}},
		says:  []string{"http 200 hello", "worker 832040", "child from a child", "zlib true", "watched"},
	},
	{
		name: "java", does: "compiles, runs long enough to be compiled again, threads, processes",
		needs: []string{"java", "javac"}, full: true,
		files: map[string]string{"Main.java": javaProgram},
		steps: [][]string{{"/usr/bin/javac", "Main.java"}, {"/usr/bin/java", "-cp", ".", "Main"}},
		says:  []string{"sum 40", "threads 140", "child here", "socket hello"},
	},
	{
		name: "go", does: "builds a module and tests it, offline",
		full: true, alone: true, // it compiles the standard library
		files: map[string]string{"go.mod": "module example.org/hello\n\ngo 1.21\n", "hello.go": goProgram, "hello_test.go": goTest},
		env:   []string{"GOCACHE=%DIR%/.cache", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOTELEMETRY=off", "GOENV=off"},
		flags: []string{"--toolchain"},
		steps: [][]string{{"go", "build", "-o", "hello", "."}, {"%DIR%/hello"}, {"go", "vet", "."}},
		says:  []string{"hello from 3 goroutines"},
	},
	{
		name: "venv", does: "makes a virtual environment with pip, and uses it",
		needs: []string{"python3"}, full: true, alone: true,
		files: map[string]string{"pkg/pyproject.toml": "[project]\nname='p'\nversion='1'\n", "pkg/p.py": "print('imported')\n"},
		steps: [][]string{
			{"/usr/bin/python3", "-m", "venv", "v"},
			{"%DIR%/v/bin/python", "-c", "import sys; print(sys.prefix)"},
			{"%DIR%/v/bin/pip", "--no-cache-dir", "list"},
		},
		says: []string{"/work/v\n", "pip "},
	},
}

const makefile = `
check: prog
	./prog
prog: main.o libparts.a
	$(CC) -o $@ main.o -L. -lparts -lrt
libparts.a: queue.o timer.o
	$(AR) rcs $@ $^
%.o: %.c queue.h
	$(CC) -O2 -Wall -Werror -pthread -c -o $@ $<
clean:
	rm -f prog *.o *.a
`

const mainC = `
#include <stdio.h>
#include <sys/mman.h>
#include "queue.h"
int timers(void);
int main(void) {
	void *p = mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
	printf("mapped: %d\n", p == MAP_FAILED ? -1 : 4096);
	if (queue() < 0) return 1;
	printf("timers: %d\n", timers());
	return 0;
}
`

// Of message queues Landlock must be told.
const queueC = `
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include "queue.h"
int queue(void) {
	struct mq_attr a = {.mq_maxmsg = 4, .mq_msgsize = 16};
	char b[16];
	mqd_t q = mq_open("/agentos", O_CREAT|O_EXCL|O_RDWR, 0600, &a);
	if (q < 0 || mq_unlink("/agentos") < 0) { perror("mq_open"); return -1; }
	if (mq_send(q, "hello", 6, 1) < 0 || mq_receive(q, b, sizeof b, 0) < 0) { perror("mq_send"); return -1; }
	printf("queue: %s\n", b);
	return 0;
}
`

const timerC = `
#include <signal.h>
#include <sys/time.h>
static volatile sig_atomic_t n;
static void on(int s) { n++; }
int timers(void) {
	struct itimerval at = {.it_value = {0, 10000}};
	sigset_t set, old;
	signal(SIGALRM, on);
	sigemptyset(&set); sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, &old);
	if (setitimer(ITIMER_REAL, &at, 0) < 0) return -1;
	sigsuspend(&old);
	return n;
}
`

const pythonProgram = `
import asyncio, concurrent.futures, ctypes, mmap, multiprocessing as mp, os, sqlite3, ssl, subprocess, sys, tempfile, threading
from multiprocessing import shared_memory

def square(n): return n * n

def writer(path, k):
    db = sqlite3.connect(path, timeout=60)
    for i in range(1000):
        with db: db.execute("insert into t values (?, ?)", (k, i))

def fill(name):
    m = shared_memory.SharedMemory(name); m.buf[0] = 42; m.close()

async def talk():
    async def serve(r, w):
        w.write((await r.readline()).upper()); await w.drain(); w.close()
    s = await asyncio.start_server(serve, "127.0.0.1", 0)
    r, w = await asyncio.open_connection(*s.sockets[0].getsockname())
    w.write(b"hello\n")
    print("asyncio", (await r.readline()).decode().strip().lower())
    w.close(); s.close()
    p = await asyncio.create_subprocess_exec("/bin/echo", "child", stdout=subprocess.PIPE)
    print((await p.communicate())[0])

if __name__ == "__main__":
    os.chdir(sys.argv[1])
    db = sqlite3.connect("t.db")
    print(db.execute("pragma journal_mode=wal").fetchone())
    db.execute("create table t (k, i)"); db.commit()
    ps = [mp.Process(target=writer, args=("t.db", k)) for k in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]
    print("rows", *db.execute("select count(*) from t").fetchone(), *db.execute("pragma integrity_check").fetchone())
    with mp.Pool(3) as pool: print("pool", sum(pool.map(square, range(10))))
    with concurrent.futures.ThreadPoolExecutor(8) as ex: print("threads", sum(ex.map(square, range(100))))
    asyncio.run(talk())
    m = shared_memory.SharedMemory(create=True, size=100)
    p = mp.get_context("spawn").Process(target=fill, args=(m.name,)); p.start(); p.join()
    print("shared", m.buf[0]); m.close(); m.unlink()
    print("ssl", len(ssl.create_default_context().get_ca_certs()) > 10 or not os.path.exists("/etc/ssl/certs/ca-certificates.crt"))
    with tempfile.TemporaryFile() as f:
        f.truncate(1 << 20)
        with mmap.mmap(f.fileno(), 0) as mm: mm[5:8] = b"abc"; mm.flush()
        f.seek(5); print(f.read(3))
    print(ctypes.CDLL(None).abs(-3), len(os.sched_getaffinity(0)) == os.cpu_count())
    print(subprocess.run("exit 5", shell=True).returncode, subprocess.run(["sort"], input=b"b\na\n", capture_output=True).stdout)
    try: subprocess.run(["sleep", "60"], timeout=0.2)
    except subprocess.TimeoutExpired: print("timed out")
`

const nodeProgram = `
const http = require("http"), fs = require("fs"), cp = require("child_process"), zlib = require("zlib"), crypto = require("crypto");
const { Worker } = require("worker_threads");
const get = port => new Promise(ok => http.get({ port, host: "127.0.0.1" }, r => { let b = ""; r.on("data", d => b += d); r.on("end", () => ok(r.statusCode + " " + b)); }));
(async () => {
  const s = http.createServer((q, r) => r.end("hello"));
  await new Promise(ok => s.listen(0, "127.0.0.1", ok));
  console.log("http", await get(s.address().port)); s.close();
  const code = 'const f=n=>n<2?n:f(n-1)+f(n-2); require("worker_threads").parentPort.postMessage(f(30))';
  console.log("worker", ...await Promise.all([1, 2, 3].map(() => new Promise(ok => new Worker(code, { eval: true }).on("message", ok)))));
  console.log("child", cp.execFileSync(process.execPath, ["-e", "console.log('from a child')"]).toString().trim());
  const big = crypto.createHash("sha512").update("x").digest("hex").repeat(5000);
  console.log("zlib", zlib.gunzipSync(zlib.gzipSync(big)).toString() === big);
  fs.mkdirSync("d/e", { recursive: true });
  const w = fs.watch("d/e", (_, f) => { console.log("watched", f); w.close(); });
  await fs.promises.writeFile("d/e/f", big);
  console.log((await fs.promises.readFile("d/e/f")).length, fs.readdirSync("d"));
})();
`

const javaProgram = `
import java.io.*; import java.net.*; import java.nio.file.*; import java.util.*; import java.util.concurrent.*;
public class Main {
	public static void main(String[] args) throws Exception {
		long s = 0;
		for (int i = 0; i < 100_000_000; i++) s += (i * 31L ^ s) >> 3;
		System.out.println("loop " + s);
		System.out.println("sum " + List.of(1, 3, 36).stream().mapToInt(i -> i).sum());
		var pool = Executors.newFixedThreadPool(4);
		var all = new ArrayList<Future<Integer>>();
		for (int i = 0; i < 8; i++) { int k = i; all.add(pool.submit(() -> k * k)); }
		int t = 0; for (var f : all) t += f.get(); pool.shutdown();
		System.out.println("threads " + t);
		System.out.println("child " + new ProcessBuilder("echo", "here").start().inputReader().readLine());
		try (var server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
			var client = new Thread(() -> { try (var c = new Socket(server.getInetAddress(), server.getLocalPort())) { c.getOutputStream().write("hello\n".getBytes()); } catch (IOException e) { throw new UncheckedIOException(e); } });
			client.start();
			System.out.println("socket " + new BufferedReader(new InputStreamReader(server.accept().getInputStream())).readLine());
			client.join();
		}
		Path p = Files.writeString(Path.of("note"), "kept");
		System.out.println(Files.readString(p) + " " + Files.size(p));
		byte[][] much = new byte[64][]; for (int i = 0; i < 400; i++) much[i % 64] = new byte[1 << 20];
		System.gc(); System.out.println("collected");
	}
}
`

const goProgram = `package main

import (
	"fmt"
	"sync"
)

func count() (n int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range [3]int{} {
		wg.Add(1)
		go func() { defer wg.Done(); mu.Lock(); n++; mu.Unlock() }()
	}
	wg.Wait()
	return n
}

func main() { fmt.Println("hello from", count(), "goroutines") }
`

const goTest = `package main

import "testing"

func TestCount(t *testing.T) {
	if count() != 3 {
		t.Fail()
	}
}
`
