# SPDX-License-Identifier: Apache-2.0
"""A desk for one person: a screen (Xvfb), a session bus, a window manager, a keyring, and beckon on it. See hand.py."""
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import beckon  # noqa: E402
from beckon import Failed, wait_for  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = os.environ.get("BECKON_SYSTEM_PYTHON", "/usr/bin/python3")  # the one that has gi
PATIENCE = float(os.environ.get("BECKON_PATIENCE", "30"))
NEEDED = {"Xvfb": "xvfb", "openbox": "openbox", "xdotool": "xdotool", "wmctrl": "wmctrl", "dbus-daemon": "dbus",
          "import": "imagemagick", "gnome-keyring-daemon": "gnome-keyring", "secret-tool": "libsecret-tools"}


def missing():
    """The packages of what is not installed; "" where all is there."""
    return " ".join(sorted(package for program, package in NEEDED.items() if not shutil.which(program)))


class Desk:
    """keyring: "unlocked" (the default), "locked" (there, and nobody answers its prompt), "none". panel, alerts: is there one?

    prefix: what each program of the desk begins with (`ip netns exec ...`)."""

    def __init__(self, folder, program, name="desk", language="C.UTF-8", keyring="unlocked", panel=True, alerts=True, dark=False,
                 contrast=False, size="1024x800", prefix=(), environment=None, compositor=False):
        self.folder = pathlib.Path(folder)
        self.program = str(program)
        self.name = name
        self.size = size
        self.prefix = list(prefix)
        self.keyring = keyring
        self.compositor = compositor and shutil.which("xcompmgr")  # round corners and shadows, where there is one
        self.processes = []
        self.apps = []
        self.home = self.folder / "home"
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "AT_SPI_BUS_ADDRESS", "GTK_THEME", "LANGUAGE", "DESKTOP_STARTUP_ID")
                    and not k.startswith(("XDG_", "LC_"))}
        self.env |= {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / ".config"), "XDG_DATA_HOME": str(self.home / ".local/share"),
                     "XDG_CACHE_HOME": str(self.home / ".cache"), "XDG_STATE_HOME": str(self.home / ".local/state"),
                     "XDG_RUNTIME_DIR": str(self.folder / "run"), "GDK_BACKEND": "x11", "GSK_RENDERER": "cairo",
                     "LIBGL_ALWAYS_SOFTWARE": "1", "LANG": language, "LC_ALL": "C.UTF-8", "GTK_A11Y": "atspi", "GSETTINGS_BACKEND": "memory",
                     "NO_AT_BRIDGE": "0", "GDK_DEBUG": "", "BECKON_DESK_PANEL": "there" if panel else "none",
                     "BECKON_DESK_ALERTS": "there" if alerts else "none"}
        # What GTK, Pango and fontconfig keep until the end is not ours to count.
        self.env["ASAN_OPTIONS"] = self.env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        if dark:
            self.env["ADW_DEBUG_COLOR_SCHEME"] = "prefer-dark"
        if contrast:
            self.env["ADW_DEBUG_HIGH_CONTRAST"] = "1"
        if language != "C.UTF-8":
            self.env["LANGUAGE"] = language
        self.env |= environment or {}

    # ---- the desk itself

    def start(self):
        for key in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
            pathlib.Path(self.env[key]).mkdir(parents=True, exist_ok=True)
        pathlib.Path(self.env["XDG_RUNTIME_DIR"]).chmod(0o700)
        self.log = open(self.folder / "desk.log", "a")
        read, write = os.pipe()
        self._begin(["Xvfb", "-displayfd", str(write), "-screen", "0", f"{self.size}x24", "-nolisten", "tcp", "-noreset"], pass_fds=(write,))
        os.close(write)
        self.env["DISPLAY"] = ":" + self._line(read, "a screen")
        read, write = os.pipe()
        self._begin(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--print-address={write}"], pass_fds=(write,))
        os.close(write)
        self.env["DBUS_SESSION_BUS_ADDRESS"] = self._line(read, "a session bus")
        self._begin(["openbox", "--sm-disable"])
        if self.compositor:
            self._begin([self.compositor, "-n"])
        if self.keyring == "unlocked":
            self.unlock_keyring()
        elif self.keyring == "locked":
            # Made with a password, then started again without it.
            self.unlock_keyring()
            subprocess.run(["secret-tool", "store", "--label=x", "a", "b"], input="x", text=True, env=self.env, timeout=20, check=True)
            self.lock_keyring()
        subprocess.run(["gdbus", "call", "--session", "--dest", "org.a11y.Bus", "--object-path", "/org/a11y/bus", "--method",
                        "org.a11y.Bus.GetAddress"], env=self.env, stdout=self.log, stderr=self.log, timeout=30, check=True)
        self.hand = subprocess.Popen([*self.prefix, PYTHON, str(HERE / "hand.py")], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=self.log, text=True, bufsize=1)
        self._answer("the hand")
        return self

    def unlock_keyring(self):
        self._begin_keyring("--unlock", stdin=subprocess.PIPE)

    def lock_keyring(self):
        """What it kept is there, and nobody answers its prompt: what asks for the password waits for ever."""
        self._begin_keyring()

    def _begin_keyring(self, *options, **more):
        for old in [p for p in self.processes if p.args[len(self.prefix)] == "gnome-keyring-daemon"]:
            old.terminate()
            old.wait()
            self.processes.remove(old)
        process = self._begin(["gnome-keyring-daemon", *options, "--foreground", "--components=secrets"], **more)
        if options:
            process.stdin.write(b"test")
            process.stdin.close()
        wait_for("the keyring", lambda: subprocess.run(
            ["gdbus", "call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/org/freedesktop/DBus", "--method",
             "org.freedesktop.DBus.NameHasOwner", "org.freedesktop.secrets"], env=self.env, capture_output=True, text=True).stdout.startswith("(true"),
            every=0.05)

    def _begin(self, command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen([*self.prefix, *command], env=self.env, stdout=self.log, stderr=self.log, start_new_session=True, **options)
        self.processes.append(process)
        return process

    @staticmethod
    def _line(fd, what):
        # Xvfb writes the number and the end of its line apart, and ends when nobody reads the second.
        line = ""
        while not line.endswith("\n") and select.select([fd], [], [], PATIENCE)[0]:
            more = os.read(fd, 4096).decode()
            if not more:
                break
            line += more
        os.close(fd)
        line = line.strip()
        if not line:
            raise Failed(f"no {what}")
        return line.split("\n")[0]

    def stop(self):
        for app in self.apps:
            if app.poll() is None:
                app.kill()
                app.wait()
        if getattr(self, "hand", None):
            self.hand.stdin.close()
            try:
                self.hand.wait(5)
            except subprocess.TimeoutExpired:
                self.hand.kill()
                self.hand.wait()
        for process in reversed(self.processes):
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, _):
        if error is not None:
            self.evidence()
        self.stop()

    def evidence(self):
        """What the person sees now, for whoever reads the failed test."""
        try:
            for line in self.ask("tree")[:150]:
                print(f"# {self.name}: {line}")
            kept = os.environ.get("BECKON_SHOTS")
            if kept:
                self.shot(pathlib.Path(kept) / f"failed-{self.name}-{int(time.time())}.png")
        except Exception as again:
            print(f"# {self.name}: nothing can be seen: {again}")
        for log in sorted(self.folder.glob("beckon-*.log")):
            for line in log.read_text(errors="replace").splitlines()[-15:]:
                print(f"# {self.name}: {log.name}: {line}")

    # ---- the program

    def run(self, *options, wait=True):
        """Starts beckon; wait: until a window is there."""
        log = open(self.folder / f"beckon-{len(self.apps)}.log", "w")
        app = subprocess.Popen([*self.prefix, self.program, *map(str, options)], env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.apps.append(app)
        if wait:
            self.wait(role="frame")
        return app

    @property
    def app(self):
        return self.apps[-1]

    def has_ended(self, patience=10):
        try:
            return self.app.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failed("beckon goes on") from None

    # ---- eyes and hand

    def _answer(self, what):
        answer = []
        reader = threading.Thread(target=lambda: answer.append(self.hand.stdout.readline()), daemon=True)
        reader.start()
        reader.join(60)
        if not answer or not answer[0]:
            raise Failed(f"{what} does not answer")
        said = json.loads(answer[0])
        if "error" in said:
            raise Failed(f"{what}: {said['error']}")
        return said["ok"]

    def ask(self, what, *args, **options):
        self.hand.stdin.write(json.dumps({"do": what, "args": args, "with": options}) + "\n")
        self.hand.stdin.flush()
        return self._answer(what)

    def sees(self, name=None, **which):
        if name is not None:
            which["name"] = name
        return self.ask("find", **which)

    def wait(self, name=None, patience=PATIENCE, **which):
        """Until it can be seen; what it is."""
        if name is not None:
            which["name"] = name
        return wait_for(f"{self.name} to see {which}", lambda: self.ask("find", **which), patience, 0.05)

    def wait_gone(self, name=None, patience=PATIENCE, **which):
        if name is not None:
            which["name"] = name
        if which == {"role": "frame"}:
            # GTK 4.8 falls over when it is asked for a window by a number that was right a moment ago, so first by the X server.
            wait_for(f"{self.name} to see no window", lambda: not self.ask("windows"), patience, 0.05)
        wait_for(f"{self.name} to see no more {which}", lambda: not self.ask("find", **which), patience, 0.05)

    def press(self, name=None, **which):
        self.wait(name, **{k: v for k, v in which.items() if k != "action"})
        if name is not None:
            which["name"] = name
        return self.ask("press", **which)

    def point(self, name=None, **which):
        self.wait(name, **{k: v for k, v in which.items() if k not in ("button", "double", "x", "y")})
        if name is not None:
            which["name"] = name
        return self.ask("point", **which)

    def type(self, text):
        return self.ask("type", text)

    def key(self, *keys):
        return self.ask("key", *keys)

    def fill(self, text, **which):
        """Replaces what an entry holds."""
        self.point(**which)
        self.key("ctrl+a")
        self.key("BackSpace")
        self.type(text)

    def shot(self, path):
        return self.ask("shot", str(path))

    def alert(self, patience=PATIENCE, since=0, **fields):
        """The first alert from number `since` on whose fields hold these texts."""
        return wait_for(f"an alert {fields}", lambda: next(
            (a for a in self.ask("alerts", since) if all(text in str(a[key]) for key, text in fields.items())), None), patience, 0.05)
