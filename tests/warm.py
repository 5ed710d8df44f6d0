"""The program in processes that start at once: forks of one that has loaded everything.

Each is a process of its own, with its own signals, streams and exit code. What a start costs,
seconds on a busy machine, is paid once.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

from commands import environment_with, without_compiling
from subprocesses import ROOT, TESTS

#: Runs commands by itself, then one in a fork for each line that asks for it.
_SERVER = """
import json, os, sys, threading, traceback
import disks  # of what a process does first
from tqdm import tqdm
from charrnn.cli.main import main

def begin(asked):
    for number, (path, flags) in enumerate(asked["streams"]):
        if path is None:
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)
        else:
            os.dup2(os.open(path, flags, 0o666), number)
    os.chdir(asked["folder"])
    # Its own lock is one for all forks, which stays locked if one is killed that has it.
    tqdm.set_lock(threading.RLock())
    exec(asked["first"], {})
    for number, name in ((1, "stdout"), (2, "stderr")):  # what can be sought is another file's
        if getattr(sys, name):
            setattr(sys, name, open(number, "w", closefd=False))
    try:
        main(asked["arguments"], prog_name="charrnn")
    except SystemExit as end:
        return end.code or 0

def end(code):
    # Without the second in which Python tidies up what is gone anyway.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            code = 120  # as Python does
    os._exit(code)

for arguments in json.loads(sys.argv[1]):
    main(arguments, standalone_mode=False)
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, int):
        print(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]), flush=True)
    elif process := os.fork():
        print(process, flush=True)
    else:
        try:
            code = begin(asked)
        except BaseException:
            traceback.print_exc()
            code = 1
        end(code)
"""

#: Seconds that anything takes at most.
PATIENCE = 120


class Process:
    """A command that runs."""

    def __init__(self, server, number, stderr):
        self._server, self.number, self._stderr = server, number, stderr

    def send(self, *signals):
        """Send it these, one right after the other."""
        for number in signals:
            os.kill(self.number, number)

    @property
    def told(self):
        """What it has said on standard error."""
        return self._stderr.read_text(encoding="utf-8")

    def wait_for(self, words):
        """Until it has said this."""
        end = time.monotonic() + PATIENCE
        while words not in self.told:
            assert time.monotonic() < end, self.told
            time.sleep(0.002)

    def ended(self):
        """Its exit code, when it has ended; negative: that of the signal that killed it."""
        return int(self._server.ask(self.number))


class Server:
    """Starts processes; ``folder`` is where they are, and where what they say goes."""

    def __init__(self, process, folder):
        self._process, self.folder, self._started = process, folder, 0

    def ask(self, what):
        """The line with which the server answers."""
        print(json.dumps(what), file=self._process.stdin, flush=True)
        assert select.select([self._process.stdout], [], [], PATIENCE)[0], what
        return self._process.stdout.readline()

    def start(self, *arguments, stdin=os.devnull, stdout=os.devnull, stderr="", first=""):
        """A process with this command; streams are paths, or None: closed.

        ``first`` is Python code that it carries out before.
        """
        self._started += 1
        said = self.folder / f".said-{self._started}"
        said.touch()
        write = os.O_WRONLY | os.O_CREAT
        streams = [(stdin and str(stdin), os.O_RDONLY), (stdout and str(stdout), write),
                   (str(said) if stderr == "" else stderr and str(stderr), write)]  # fmt: skip
        asked = {"arguments": [*map(str, arguments)], "streams": streams,
                 "folder": str(self.folder), "first": first}  # fmt: skip
        return Process(self, int(self.ask(asked)), said)

    def run(self, *arguments, **options):
        """A command to its end, as ``assert_one_line_error`` takes it."""
        process = self.start(*arguments, **options)
        code = process.ended()
        told = without_compiling(process.told.encode()).decode()
        return subprocess.CompletedProcess(arguments, code, b"", told)


@contextlib.contextmanager
def server(folder, *commands):
    """A server in ``folder`` that has carried out these commands, and so loaded their kernels."""
    loaded = json.dumps([[*map(str, command)] for command in commands])
    environment = environment_with({"PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", _SERVER, loaded], env=environment, text=True,
                          cwd=folder, start_new_session=True, **pipes) as process:  # fmt: skip
        try:
            for line in process.stdout:
                if line == "ready\n":
                    break
            yield Server(process, folder)
        finally:
            with contextlib.suppress(ProcessLookupError):  # all that it has started too
                os.killpg(process.pid, signal.SIGKILL)
