"""Chromium, driven over its pipe, for tests; no package is needed for it."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 40


class Browser:
    """A page in a headless Chromium; use it in a `with`.

    Attributes:
        complaints: What the page wrote to its console as a warning or an error, and exceptions nothing caught.
        requests: Addresses that were asked for.
    """

    def __init__(self, profile: Path, width: int = 1440, height: int = 1000) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._number, self._rest = 0, b""
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        chromium = (
            f'exec "{CHROMIUM}" --headless=new --no-sandbox --disable-gpu --remote-debugging-pipe '
            f'--disable-background-networking --user-data-dir="{profile}" --window-size={width},{height} '
            f"3<&{commands} 4>&{answers} 2>/dev/null"
        )
        self._process = subprocess.Popen(["bash", "-c", chromium], pass_fds=(commands, answers))
        os.close(commands)
        os.close(answers)
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method: str | None, told: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("warning", "error"):
            self.complaints.append(told["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("warning", "error"):
            self.complaints.append(str(told["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self._number += 1
            reply = {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            os.write(self._out, json.dumps(reply | {"sessionId": self._session}).encode() + b"\0")

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait("document.body && (document.body.dataset.ready || !document.getElementById('banner')?.hidden)")

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression holds."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(f"Boolean({script})"):
            assert time.monotonic() < end, f"never: {script}; {self.complaints}"
            time.sleep(0.05)

    def text(self, name: str) -> str:
        """The text of an element, by its ID."""
        return str(self.evaluate(f"document.getElementById('{name}').textContent"))

    def click(self, selector: str) -> None:
        """Click the middle of an element, once it is there."""
        self.wait(f"document.querySelector({json.dumps(selector)})")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'nearest'}})")
        box = self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        self.drag(box, box)

    def drag(self, start: list[float], end: list[float]) -> None:
        """Press the pointer at one place of the page and let it go at another one."""
        for kind, (x, y), buttons in (
            ("mousePressed", start, 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def key(self, name: str) -> None:
        """Press a key, such as "k", "Shift+F" or "Control+s"."""
        *held, letter = name.split("+") if name != "+" else ["+"]
        modifiers = sum({"Alt": 1, "Control": 2, "Shift": 8}[each] for each in held)
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
        codes |= {"Home": 36, "End": 35, "Delete": 46, "PageDown": 34}
        code = codes.get(letter, ord(letter.upper()[0]))
        same = {"key": letter, "modifiers": modifiers, "windowsVirtualKeyCode": code}
        text = {"text": letter} if len(letter) == 1 and not set(held) - {"Shift"} else {}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **same, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        return path
