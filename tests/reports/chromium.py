"""A headless Chromium, spoken to through its debugging pipe: no driver and no port are needed."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe"),
)


class Gone(Exception):
    """The browser has ended."""


def found() -> str | None:
    """The path of a Chromium of this machine; $CHROMIUM comes first."""
    if os.name != "posix":
        return None  # the pipe needs the file numbers 3 and 4
    names = (os.environ.get("CHROMIUM", ""), *NAMES)
    return next(filter(None, map(shutil.which, names)), None)


class Chromium:
    """One tab. events: what the browser told of it, as (method, params)."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.left, self.number, self.session = b"", 0, ""
        self.events: list[tuple[str, dict[str, Any]]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        try:
            os.write(self.commands, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise Gone from None
        while True:
            told = self.hear()
            if told.get("id") == self.number:
                assert "error" not in told, (method, told)
                return dict(told["result"])

    def hear(self) -> dict[str, Any]:
        """The next message; an event is kept too."""
        while b"\0" not in self.left:
            more = os.read(self.answers, 2**20)
            if not more:
                raise Gone
            self.left += more
        text, _, self.left = self.left.partition(b"\0")
        told = json.loads(text)
        if "method" in told:
            self.events.append((told["method"], told.get("params", {})))
        return dict(told)

    def open(self, path: Path, *, width: int = 1200, height: int = 900, dark: bool = False) -> None:
        """Show a file, and wait until it is loaded. width, height: in CSS pixels."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while "Page.loadEventFired" not in [method for method, _ in self.events]:
            self.hear()

    def value(self, script: str) -> Any:
        """What a JavaScript expression gives in the page."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def picture(self, path: Path, *, whole: bool = True) -> bytes:
        """A PNG of the page, also written to `path`. whole: with what one must scroll to."""
        told = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        content = base64.b64decode(told["data"])
        path.write_bytes(content)
        return content

    def complaints(self) -> list[str]:
        """What the console of the page got since it was opened: errors, warnings, any text."""
        self.value("0")  # what was on its way has come
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(params) for method, params in self.events if method in kinds]

    def requests(self) -> list[str]:
        """The addresses that the page asked for."""
        sent = "Network.requestWillBeSent"
        return [params["request"]["url"] for method, params in self.events if method == sent]


@contextlib.contextmanager
def browser(program: str, profile: Path) -> Iterator[Chromium]:
    """A browser with a profile of its own; it is gone at the end."""
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()

    def on_three_and_four() -> None:
        kept = os.dup(commands), os.dup(answers)  # neither may lie on 3 or 4 when those are made
        os.dup2(kept[0], 3)
        os.dup2(kept[1], 4)

    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=on_three_and_four,
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    try:
        yield Chromium(to_browser, from_browser)
    finally:
        process.terminate()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
