"""Page: what a person sees in a browser: a photo, the camera, a video, and bars. Made with Gradio, kept offline.

Gradio hands the raw address of an upload to the functions here (`preprocess=False`): it neither decodes a stranger's
file nor fetches one from elsewhere, and all limits of the API hold for the page as well.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI

from mien.errors import MienError
from mien.images import Pixels
from mien.recognize.recognizer import Face, Recognizer
from mien.recognize.track import Tracker
from mien.report.words import AI_ACT
from mien.serve.answer import open_picture, recognize_picture, too_slow
from mien.serve.bars import faces_html, message_html, picture_html
from mien.serve.clip import watch_clip
from mien.serve.limits import Limits
from mien.serve.refusal import RefusedError
from mien.serve.upload import Upload
from mien.serve.upload_cache import UploadCache
from mien.serve.workers import Workers

T = TypeVar("T")
_STREAM_EVERY = 0.3  # seconds between two pictures of the camera
_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")  # none is loaded
_HEAD = (
    '<div class="mien-head"><h1>mien</h1><p>The apparent expression of faces, with probabilities. '
    "Everything is computed on this server; no picture is kept or sent elsewhere.</p></div>"
)
_FOOT = (
    '<div class="mien-foot"><p><strong>Limits.</strong> The bars say what a tagger would probably call the expression '
    "in one picture. What a person feels is not in the picture, and people disagree about many faces.</p>"
    f"<p><strong>Responsible use.</strong> Ask people before you analyze their faces. {AI_ACT} "
    '<a href="/docs">API</a></p></div>'
)
_PHOTO_HINT = "Drop a photo, paste one, or click to choose. Every face in it gets its bars here."
_VIDEO_HINT = "Drop a video. Its timeline shows who looked how, and when."
_CAMERA_HINT = "Start the camera and look into it. The bars follow your face."


def mount_page(
    app: FastAPI, recognizers: Mapping[str, Recognizer], limits: Limits, workers: Workers, cache: UploadCache
) -> None:
    """Put the page on `/` of `app`, behind everything that it has already.

    Sets environment variables that Gradio reads, among them the folder for uploads: one page in a process.
    """
    _keep_offline(cache.path)
    import gradio as gr

    page = _Page(recognizers, limits, workers, cache)
    gr.mount_gradio_app(
        app,
        page.blocks(),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,  # what fails is in the log; a stranger gets no traceback
        max_file_size=limits.video_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=_FONTS, font_mono=("monospace",)),
        css=(resources.files("mien.serve") / "static" / "page.css").read_text("utf-8"),
    )


def _keep_offline(folder: Path) -> None:
    """Before Gradio is imported: no usage data, no look for a newer version, and uploads to `folder`."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=str(folder),
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_OFFLINE="1",
        DO_NOT_TRACK="1",
    )


class _Page:
    """The layout, and what happens when somebody uses it."""

    def __init__(
        self, recognizers: Mapping[str, Recognizer], limits: Limits, workers: Workers, cache: UploadCache
    ) -> None:
        self._recognizers, self._limits, self._workers, self._cache = recognizers, limits, workers, cache

    def blocks(self) -> Any:
        import gradio as gr

        with gr.Blocks(title="mien", analytics_enabled=False, fill_width=False) as blocks:
            gr.HTML(_HEAD)
            model = gr.Dropdown(
                list(self._recognizers), label="Model", visible=len(self._recognizers) > 1, filterable=False
            )
            with gr.Tab("Photo"):
                self._photo_tab(model)
            with gr.Tab("Camera"):
                self._camera_tab(model)
            with gr.Tab("Video"):
                self._video_tab(model)
            gr.HTML(_FOOT)
        blocks.queue(max_size=self._limits.waiting, api_open=False)
        return blocks

    def _photo_tab(self, model: Any) -> None:
        import gradio as gr

        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                photo = gr.Image(
                    sources=["upload", "clipboard"], type="filepath", image_mode=None, label="Photo", height=260,
                    buttons=["fullscreen"], elem_id="photo",
                )  # fmt: skip
                _local_only(photo)
                picture = gr.HTML("", elem_id="photo-picture")
            with gr.Column(min_width=300):
                shown = gr.HTML(message_html(_PHOTO_HINT), elem_id="photo-faces")
        photo.change(
            self.photo, [photo, model], [shown, picture], preprocess=False, concurrency_limit=None,
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip

    def _camera_tab(self, model: Any) -> None:
        import gradio as gr

        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                camera = gr.Image(
                    sources=["webcam"], type="filepath", image_mode=None, streaming=True, label="Camera",
                    buttons=[], elem_id="camera",
                )  # fmt: skip
                _local_only(camera)
            with gr.Column(min_width=300):
                shown = gr.HTML(message_html(_CAMERA_HINT), elem_id="camera-faces")
        tracker = gr.State(None)
        camera.stream(
            self.frame, [camera, tracker, model], [shown, tracker], preprocess=False, concurrency_limit=None,
            api_visibility="private", show_progress="hidden", stream_every=_STREAM_EVERY, time_limit=None,
        )  # fmt: skip

    def _video_tab(self, model: Any) -> None:
        import gradio as gr

        with gr.Row(equal_height=False):
            with gr.Column(min_width=300, scale=2):
                video = gr.Video(sources=["upload"], label="Video", height=260, buttons=[], elem_id="video")
                _local_only(video)
            with gr.Column(min_width=300, scale=3):
                shown = gr.HTML(message_html(_VIDEO_HINT), elem_id="video-faces")
        waits = video.change(
            self.line_up, video, shown, preprocess=False, concurrency_limit=None, api_visibility="private",
            show_progress="hidden",
        )  # fmt: skip
        # One at a time, in a thread of its own, so that a long one does not hold up the workers.
        waits.then(
            self.video, [video, model], shown, preprocess=False, concurrency_limit=1, api_visibility="private",
            show_progress="hidden",
        )  # fmt: skip

    def photo(self, given: object, model: object) -> tuple[str, str]:
        """Bars and the marked picture for an uploaded photo."""
        if given is None:
            return message_html(_PHOTO_HINT), ""
        try:
            return self._recognized(given, model, lambda image, faces, more: (
                faces_html(faces, more), picture_html(image, faces)))  # fmt: skip
        except MienError as error:
            return message_html(str(error), error=True), ""

    def frame(self, given: object, tracker: Tracker | None, model: object) -> tuple[Any, Any]:
        """Bars for a picture of the camera, steadied by those before it, and the tracker that knows them."""
        import gradio as gr

        if given is None:
            return gr.skip(), gr.skip()
        known = tracker or Tracker(threshold=self._chosen(model).threshold)
        try:
            faces, more = self._recognized(given, model, lambda _, faces, more: (faces, more))
        except RefusedError:  # busy: the next picture comes soon
            return gr.skip(), gr.skip()
        except MienError as error:
            return message_html(str(error), error=True), gr.skip()
        # Not in the worker: one that comes too late would meet the next picture within the same tracker.
        return _live(known, faces, more), known

    def line_up(self, given: object) -> str:
        """Let a video stay until its turn has come, though it may wait longer than uploads are kept."""
        try:
            path = self._stored(given)
        except RefusedError:  # `video` comes next and says why
            return ""
        most = self._limits.video_seconds * self._limits.waiting
        self._cache.hold(path, self._limits.video_seconds, most)
        return message_html("Waiting for its turn …")

    def video(self, given: object, model: object) -> Iterator[str]:
        """How far a video is, and in the end its timeline."""
        if given is None:
            yield message_html(_VIDEO_HINT)
            return
        try:
            path = self._stored(given)
            self._cache.release(path)
            name = Path(_text(given, "orig_name") or "video").name
            yield from watch_clip(path, name, self._chosen(model), self._limits)
        except MienError as error:
            yield message_html(str(error), error=True)

    def _recognized(self, given: object, model: object, show: Callable[[Pixels, list[Face], int], T]) -> T:
        """What `show` makes of the picture, its faces, and how many were left out; a worker does all of it."""
        upload = self._taken(given)
        recognizer = self._chosen(model)

        def job() -> T:
            image = open_picture(upload, self._limits)
            return show(image, *recognize_picture(recognizer, image, upload.name, self._limits))

        with self._workers.enter() as place:
            try:
                return place.run(job).result(self._limits.seconds)
            except TimeoutError as error:
                raise too_slow(self._limits) from error

    def _chosen(self, model: object) -> Recognizer:
        first = next(iter(self._recognizers.values()))
        return self._recognizers.get(model, first) if isinstance(model, str) else first

    def _taken(self, given: object) -> Upload:
        """The bytes of a picture: a file in the cache, or a `data:` URL."""
        url = _text(given, "url")
        if url.startswith("data:"):
            try:
                return Upload("picture", base64.b64decode(url.partition(",")[2], validate=True))
            except (binascii.Error, ValueError) as error:
                raise RefusedError(422, "the picture did not arrive whole; try again") from error
        path, most = self._stored(given), self._limits.request_bytes
        if path.stat().st_size > most:
            raise RefusedError(413, f"the picture is larger than {most:,} bytes; reduce it first")
        return Upload(_text(given, "orig_name") or "picture", path.read_bytes())

    def _stored(self, given: object) -> Path:
        path = Path(_text(given, "path"))
        if not self._cache.holds(path):
            raise RefusedError(422, "the upload is no longer here; choose the file again")
        return path


def _text(given: object, key: str) -> str:
    """What the page says of an upload under `key`, or nothing: anybody may post anything."""
    value = given.get(key) if isinstance(given, dict) else None
    return value if isinstance(value, str) else ""


def _live(tracker: Tracker, faces: list[Face], more: int) -> str:
    return faces_html([face for _, face in tracker(faces, time.monotonic())], more)


def _local_only(component: Any) -> None:
    """Let a component refuse an address on the internet, which Gradio would fetch for whoever sends one."""
    take = component.async_move_resource_to_block_cache

    async def take_local(place: str | None) -> Any:
        if place is not None and "://" in str(place):
            raise RefusedError(422, "an address is not fetched; upload the file")
        return await take(place)

    component.async_move_resource_to_block_cache = take_local
