"""What a visitor does with the page: photos, camera, video; what it says; and that nothing of a picture is sent."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien.recognize.recognizer import Recognizer
from mien.recognize.rows import columns

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
LABELS = Recognizer("mien-tiny").labels
WAIT = 60_000  # milliseconds, on a machine that does other things too


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(permissions=["camera"])
    opened = context.new_page()
    opened.set_default_timeout(WAIT)
    opened.errors = []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector("#status", state="hidden")
    yield opened
    assert opened.errors == []
    context.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """Three seconds of the portrait, moving, with an empty wall in the second one."""
    av = pytest.importorskip("av")
    face = cv2.resize(cv2.cvtColor(cv2.imread(str(portrait)), cv2.COLOR_BGR2RGB), (230, 230))
    path = tmp_path_factory.mktemp("film") / "visit.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=15)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(45):
            frame = np.full((240, 320, 3), (90, 110, 130), np.uint8)
            if not 15 <= i < 30:
                frame[5:235, i : i + 230] = face
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def saved(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def test_a_photo_gets_its_faces_and_its_tables(page: Any, portrait: Path) -> None:
    page.set_input_files("#files", str(portrait))
    page.wait_for_selector(".face")
    assert page.inner_text(".face h3").startswith("1. happy 9")
    assert page.inner_text("#status") == "astronaut.jpg: 1 face."
    (row,) = csv.DictReader(io.StringIO(saved(page, "#csv").decode()))
    (face,) = Recognizer("mien-tiny", detector="fast")(portrait)
    assert list(row) == columns(LABELS)[: columns(LABELS).index("format") + 1]  # the page tells no quality yet
    assert (row["source"], row["status"], row["face_id"], row["emotion"]) == ("astronaut.jpg", "face", "1", "happy")
    assert [int(row[name]) for name in ("x", "y", "width", "height")] == pytest.approx(list(face.box), abs=2)
    assert float(row["p_happy"]) == pytest.approx(face.probabilities["happy"], abs=0.01)
    (told,) = json.loads(saved(page, "#json"))
    assert (told["emotion"], told["format"], told["unsure"]) == ("happy", 3, False)
    marked = cv2.imdecode(np.frombuffer(saved(page, "text=Marked picture as PNG"), np.uint8), cv2.IMREAD_COLOR)
    assert marked.shape == cv2.imread(str(portrait)).shape


def test_the_threshold_marks_at_once_and_a_model_answers_anew(page: Any, portrait: Path) -> None:
    page.set_input_files("#files", str(portrait))
    page.wait_for_selector(".face")
    page.fill("#threshold", "1")
    assert page.inner_text(".face h3").startswith("1. unsure (happy")
    before = page.inner_text(".bars")
    page.select_option("#truth", "labels")
    page.wait_for_function("before => document.querySelector('.bars')?.innerText !== before", arg=before)
    page.select_option("#model", "mien-small")
    page.wait_for_function("() => document.querySelector('#about').textContent.includes('small')")
    page.wait_for_function("() => document.querySelector('.face h3')?.innerText.startsWith('1. happy')")


def test_why_shows_the_parts_that_the_answer_hangs_on(page: Any, portrait: Path) -> None:
    page.set_input_files("#files", str(portrait))
    page.click("text=Why?")
    page.wait_for_selector(".picture p")
    assert re.search(r"'happy' hangs on this part: covered, it loses up to \d+ points", page.inner_text(".picture p"))


def test_many_photos_pasted_dropped_and_wrong(page: Any, portrait: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "notes.png").write_text("no picture")
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 300, 3), 128, np.uint8))
    names = ["holiday.heic", "notes.png", "wall.png"]
    page.set_input_files("#files", [str(tmp_path / name) for name in names])
    page.wait_for_function("() => document.querySelectorAll('.photo p').length >= 3")
    told = {part.split("\n")[0]: part for part in page.locator(".photo").all_inner_texts()}
    assert "HEIC is not read by this browser. Save it as JPEG or PNG." in told["holiday.heic"]
    assert "not a picture that this browser reads" in told["notes.png"]
    assert "No face found." in told["wall.png"]
    rows = list(csv.DictReader(io.StringIO(saved(page, "#csv").decode())))
    assert [row["status"] for row in rows] == ["error", "error", "no_face"]
    page.evaluate(
        """async () => {
        const blob = await (await fetch("/assets/example.jpg")).blob();
        const given = new DataTransfer();
        given.items.add(new File([blob], "pasted.jpg", { type: "image/jpeg" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given }));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: given }));
    }"""
    )
    page.wait_for_function("() => document.querySelectorAll('.face').length === 2")
    page.click("#clear")
    assert page.locator(".photo").count() == 0


def test_the_camera_shows_live_faces(page: Any) -> None:
    page.click("#tab-camera")
    page.click("#camera-start")
    page.wait_for_selector("#camera-faces .face")
    page.wait_for_function("() => /frames a second/.test(document.querySelector('#camera-rate').textContent)")
    assert re.match(r"\d+\. happy", page.inner_text("#camera-faces h3"))  # another number after a jump of slow frames
    assert page.inner_text("#camera-start") == "Stop camera"
    page.click("#tab-photos")  # who leaves it turns it off
    assert page.evaluate("document.querySelector('#camera-video').srcObject") is None


def test_a_camera_that_is_not_allowed_is_told(browser: Any, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    )
    page.goto(address)
    page.wait_for_selector("#status", state="hidden", timeout=WAIT)
    page.click("#tab-camera")
    page.click("#camera-start")
    page.wait_for_selector("text=The camera is not allowed for this page", timeout=WAIT)
    context.close()


def test_a_film_is_scanned(page: Any, film: Path, tmp_path: Path) -> None:
    page.click("#tab-film")
    page.set_input_files("#film-file", str(film))
    page.click("#film-scan")
    page.wait_for_selector("#film-csv:not([hidden])", timeout=2 * WAIT)
    rows = list(csv.DictReader(io.StringIO(saved(page, "#film-csv").decode())))
    times = [float(row["time_s"]) for row in rows]
    assert times == pytest.approx([i / 5 for i in range(15)], abs=1e-3)
    status = [row["status"] for row in rows]
    assert status[:5] == ["face"] * 5
    assert status[6:10] == ["no_face"] * 4
    assert status[11:] == ["face"] * 4
    assert {row["emotion"] for row in rows if row["status"] == "face"} == {"happy"}
    page.locator(".slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute(".slider", "aria-valuenow") == pytest.approx("2.0")
    page.wait_for_selector("#film-faces .face")
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    page.set_input_files("#film-file", str(tmp_path / "broken.mp4"))
    page.wait_for_selector("text=broken.mp4: this browser cannot play it")


def test_nothing_of_a_picture_is_sent(browser: Any, address: str, portrait: Path, film: Path) -> None:
    context = browser.new_context(permissions=["camera"])
    page = context.new_page()
    page.set_default_timeout(2 * WAIT)
    asked: list[Any] = []
    context.on("request", lambda request: asked.append(request))
    page.on("websocket", lambda socket: asked.append(socket))
    page.goto(address)
    page.wait_for_selector("#status", state="hidden")
    assert all(one.url.startswith((address, "blob:")) and one.method == "GET" and not one.post_data for one in asked)
    assert any(one.url.endswith("mien-tiny.onnx") for one in asked)
    assert not any("mien-small" in one.url or "centerface" in one.url for one in asked)  # only what is asked for
    asked.clear()
    page.set_input_files("#files", str(portrait))
    page.click("text=Why?")
    page.wait_for_selector(".picture p")
    page.click("#tab-camera")
    page.click("#camera-start")
    page.wait_for_selector("#camera-faces .face")
    page.click("#tab-film")
    page.set_input_files("#film-file", str(film))
    page.click("#film-scan")
    page.wait_for_selector("#film-csv:not([hidden])")
    assert [one.url for one in asked if not one.url.startswith("blob:")] == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation(
    browser: Any, address: str, portrait: Path, film: Path, width: int, scheme: Any
) -> None:
    if not AXE.is_file():
        pytest.skip("no axe-core: npm ci --prefix web")
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(2 * WAIT)
    page.goto(address)
    page.wait_for_selector("#status", state="hidden")
    page.set_input_files("#files", str(portrait))
    page.wait_for_selector(".face")
    page.click("summary")
    page.add_script_tag(path=str(AXE))
    found = [violations(page)]
    page.click("#tab-camera")
    found.append(violations(page))
    page.click("#tab-film")
    page.set_input_files("#film-file", str(film))
    page.click("#film-scan")
    page.wait_for_selector("#film-csv:not([hidden])")
    found.append(violations(page))
    assert found == [[], [], []]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def violations(page: Any) -> list[str]:
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


def test_an_old_browser_is_told(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.add_init_script("WebAssembly.validate = () => false")
    page.goto(address)
    page.wait_for_selector("text=This browser has no WebAssembly with SIMD", timeout=WAIT)
    page.close()
