"""What a visitor does with the page: photos, camera, video; what it says; and that nothing of a picture is sent."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien import formats
from mien.recognize.recognizer import Recognizer
from mien.recognize.rows import columns
from mien.recognize.video import Pace, Video
from mien.recognize.watch import watch

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
LABELS = Recognizer("mien-tiny").labels
ABOUT = {"brightness": 3, "roll": 1, "yaw": 1.5, "face_size": 1}  # a browser decodes films with colors of its own
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
    assert list(row) == columns(LABELS)
    assert (row["source"], row["status"], row["face_id"], row["emotion"]) == ("astronaut.jpg", "face", "1", "happy")
    assert [int(row[name]) for name in ("x", "y", "width", "height")] == pytest.approx(list(face.box), abs=2)
    assert float(row["p_happy"]) == pytest.approx(face.probabilities["happy"], abs=0.01)
    assert face.quality
    assert float(row["face_size"]) == pytest.approx(face.quality.size, abs=1)
    (told,) = json.loads(saved(page, "#json"))
    assert list(told) == columns(LABELS)
    assert (told["emotion"], told["format"], told["unsure"]) == ("happy", formats.TABLE, False)
    assert re.match(r"1\d\d pixels · sharpness 0\.\d\d · brightness 1\d\d · leans", page.inner_text(".face .quality"))
    marked = cv2.imdecode(np.frombuffer(saved(page, "text=Marked picture as PNG"), np.uint8), cv2.IMREAD_COLOR)
    assert marked.shape == cv2.imread(str(portrait)).shape


def test_an_unsure_answer_says_why(page: Any, portrait: Path, tmp_path: Path) -> None:
    """A face from the front, one that leans and one of 16 pixels; each has its own reason, in the table too."""
    photo = cv2.imread(str(portrait))
    head, turn = photo[20:310, 90:380], cv2.getRotationMatrix2D((145, 145), -50, 1)
    leaning = cv2.warpAffine(head, turn, (290, 290), borderMode=cv2.BORDER_REPLICATE)
    tiny = np.full((75, 100, 3), 120, np.uint8)
    tiny[10:50, 20:60] = cv2.resize(head, (40, 40), interpolation=cv2.INTER_AREA)
    for name, image in (("front", photo), ("leaning", leaning), ("tiny", tiny)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    page.set_input_files("#files", [str(tmp_path / f"{name}.png") for name in ("front", "leaning", "tiny")])
    page.wait_for_selector("text=3 photos: 3 faces.")
    assert page.locator(".why").count() == 0  # all are sure
    page.fill("#threshold", "1")
    told = page.locator(".why").all_inner_texts()
    assert told[0] == "The model is not sure: perhaps happy, perhaps neutral."
    assert told[1].startswith("The face is turned away")
    assert told[2].startswith("The face is too small to tell: below 20 pixels")
    rows = list(csv.DictReader(io.StringIO(saved(page, "#csv").decode())))
    assert [(row["unsure"], row["why_unsure"]) for row in rows] == [
        ("true", "not sure"), ("true", "turned away"), ("true", "too small"),
    ]  # fmt: skip
    assert 40 <= float(rows[1]["roll"]) <= 70


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
    assert [row["format"] for row in rows] == [str(formats.TABLE)] * 3
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


@pytest.fixture
def album(tmp_path: Path, portrait: Path, film: Path) -> Path:
    """A folder as it lies about: photos in it and below, one broken, a text, a video."""
    folder = tmp_path / "album"
    (folder / "party").mkdir(parents=True)
    for name in ("b.jpg", "party/a.jpg", "party/a10.jpg", "party/a9.jpg"):
        shutil.copy(portrait, folder / name)
    (folder / "party" / "broken.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    shutil.copy(film, folder / "visit.webm")
    return folder


@pytest.mark.parametrize("how", ["chosen", "dropped"])
def test_a_folder_is_looked_at_as_a_whole(page: Any, album: Path, how: str) -> None:
    if how == "chosen":
        page.set_input_files("#folder", str(album))
    else:
        drop(page, album)
    page.wait_for_selector(
        "text=5 photos: 4 faces, 1 could not be read. Left out: 1 video, to be chosen under Video; 1 other"
    )
    names = ["album/b.jpg", "album/party/a.jpg", "album/party/a9.jpg", "album/party/a10.jpg", "album/party/broken.png"]
    assert page.locator(".photo > h3").all_inner_texts() == names
    rows = list(csv.DictReader(io.StringIO(saved(page, "#csv").decode())))
    assert [(row["source"], row["status"]) for row in rows] == [
        *((name, "face") for name in names[:4]), (names[4], "error"),
    ]  # fmt: skip


def test_a_video_that_is_dropped_is_shown_as_one(page: Any, film: Path) -> None:
    drop(page, film)
    page.wait_for_selector("text=visit.webm: play it, or scan it as a whole.")
    assert page.is_visible("#film-scan")


def drop(page: Any, path: Path) -> None:
    box = page.locator("#drop").bounding_box()
    devtools = page.context.new_cdp_session(page)
    place = {"x": box["x"] + 20, "y": box["y"] + 20}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def test_of_very_many_photos_the_last_are_shown_and_all_are_in_the_table(page: Any, tmp_path: Path) -> None:
    """Pictures take much memory."""
    for i in range(53):
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), np.full((40, 40, 3), 4 * i, np.uint8))
    page.set_input_files("#files", sorted(map(str, tmp_path.glob("*.png"))))
    page.wait_for_selector("text=53 photos: 0 faces, 53 without a face.")
    assert page.inner_text("#more") == "The last 50 of 53 photos are shown; the tables have all."
    assert page.locator(".photo > h3").all_inner_texts() == [f"{i:02}.png" for i in range(3, 53)]
    rows = list(csv.DictReader(io.StringIO(saved(page, "#csv").decode())))
    assert [row["source"] for row in rows] == [f"{i:02}.png" for i in range(53)]
    page.click("#clear")
    assert not page.is_visible("#more")


def test_the_camera_shows_live_faces(page: Any) -> None:
    page.click("#tab-camera")
    page.click("#camera-start")
    page.wait_for_selector("#camera-faces .face")
    page.wait_for_function("() => /frames a second/.test(document.querySelector('#camera-rate').textContent)")
    assert "pixels · sharpness" in page.inner_text("#camera-faces .quality")
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


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory, portrait: Path) -> Path:
    """Two shots of a second each, of two faces that change places at the cut; without a length, as browsers record."""
    av = pytest.importorskip("av")
    head = cv2.resize(cv2.cvtColor(cv2.imread(str(portrait)), cv2.COLOR_BGR2RGB)[20:310, 90:380], (150, 150))
    path = tmp_path_factory.mktemp("swap") / "swap.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=20)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 480, 320, "yuv420p", 2_000_000
        for i in range(40):
            tiles = np.random.default_rng(i // 20).integers(40, 220, (8, 12, 3), dtype=np.uint8)
            frame = cv2.resize(tiles, (480, 320), interpolation=cv2.INTER_NEAREST)
            for x, face in zip((40, 290) if i < 20 else (290, 40), (head, head[:, ::-1]), strict=True):
                frame[90:240, x : x + 150] = face
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_film_gives_the_rows_of_python_and_a_cut_ends_its_faces(page: Any, swap: Path) -> None:
    page.click("#tab-film")
    page.set_input_files("#film-file", str(swap))
    page.click("#film-scan")
    page.wait_for_selector("#film-csv:not([hidden])", timeout=2 * WAIT)
    ours = json.loads(saved(page, "#film-json"))
    recognizer = Recognizer("mien-tiny", detector="fast")
    with Video(swap) as video:
        seen = [one for one in watch(video, recognizer, pace=Pace(fps=5)) if one.frame.look]
    theirs = [row.values() for one in seen for row in one.rows]
    assert [row["face_id"] for row in ours] == [1, 2] * 5 + [3, 4] * 5
    for our, their in zip(ours, theirs, strict=True):
        assert list(our) == list(their)
        for name, value in their.items():
            if isinstance(value, float):
                assert our[name] == pytest.approx(value, rel=0.03, abs=ABOUT.get(name, 0.01)), name
            elif name in ("x", "y", "width", "height"):
                assert abs(our[name] - value) <= 2
            elif name == "frame":
                assert our[name] is None  # a browser does not tell it
            else:
                assert our[name] == (swap.name if name == "source" else value), name


def test_a_scan_that_is_stopped_keeps_what_it_saw(page: Any, film: Path) -> None:
    page.click("#tab-film")
    page.set_input_files("#film-file", str(film))
    page.evaluate("""() => new MutationObserver(() => document.querySelector("#film-stop").click())
        .observe(document.querySelector("#film-told"), { childList: true })""")
    page.click("#film-scan")
    page.wait_for_selector("text=Stopped at")
    looks = int(re.search(r"(\d+) looks", page.inner_text("#status")).group(1))  # type: ignore[union-attr]
    assert 1 <= looks < 15
    assert len(list(csv.DictReader(io.StringIO(saved(page, "#film-csv").decode())))) == looks


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
