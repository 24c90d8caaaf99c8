"""Pictures of an episode as a GIF, a sheet of moments as PNG, a page of its own, or a folder with all of them."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CommandError

if TYPE_CHECKING:
    from PIL.Image import Image

# (file, pictures, how many, steps a second, title)
Writer = Callable[[Path, "Iterator[Image]", int, float, str], None]

GIF_COLORS = 64  # flat drawings have few, and letters' edges need some
LAST_MS = 2000  # the last picture of a film stays
SHEET_PICTURES, SHEET_COLUMNS, SHEET_GAP = 12, 4, 8


def write_gif(path: Path, pictures: Iterator[Image], count: int, fps: float, title: str) -> None:
    """A film that starts over. Each picture is reduced to GIF_COLORS at once, so that long episodes fit in memory."""
    reduced = [picture.quantize(GIF_COLORS) for picture in pictures]
    durations = [round(1000 / fps)] * (count - 1) + [LAST_MS]
    reduced[0].save(path, save_all=True, append_images=reduced[1:], duration=durations, loop=0, optimize=False)


def write_sheet(path: Path, pictures: Iterator[Image], count: int, fps: float, title: str) -> None:
    """Up to 12 moments, evenly spaced from the first to the last, in rows of 4."""
    from PIL import Image

    moments = moments_of(count)
    chosen = [picture for index, picture in enumerate(pictures) if index in moments]
    width, height = chosen[0].size
    columns = min(SHEET_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    sheet = Image.new("RGB", (columns * (width + SHEET_GAP), rows * (height + SHEET_GAP)), (255, 255, 255))
    for (row, column), picture in zip(itertools.product(range(rows), range(columns)), chosen):
        sheet.paste(picture, (column * (width + SHEET_GAP), row * (height + SHEET_GAP)))
    sheet.save(path)


def moments_of(count: int) -> set[int]:
    """The pictures of `count` that a sheet shows."""
    shown = min(SHEET_PICTURES, count)
    return {round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)}


def write_page(path: Path, pictures: Iterator[Image], count: int, fps: float, title: str) -> None:
    """A page with all pictures in it, to play, pause and step through; it loads nothing from elsewhere."""
    urls = []
    for picture in pictures:
        data = io.BytesIO()
        picture.quantize(GIF_COLORS).save(data, "PNG")
        urls.append("data:image/png;base64," + base64.b64encode(data.getvalue()).decode())
    page = PAGE.replace("$TITLE", html.escape(title)).replace("$LAST", str(count - 1))
    page = page.replace("$INTERVAL", f"{1000 / fps:.0f}").replace("$PICTURES", json.dumps(urls))
    path.write_text(page, encoding="utf-8")


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$TITLE</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; color: #2b2b2b; background: #fff; margin: 2rem auto; max-width: 44rem; }
h1 { font-size: 1.1rem; }
img { display: block; width: 100%; image-rendering: auto; border: 1px solid #ddd; }
div { display: flex; gap: .8rem; align-items: center; margin-top: .6rem; }
input { flex: 1; }
</style></head><body>
<h1>$TITLE</h1>
<img id="picture" alt="the episode at the chosen step">
<div><button id="play">pause</button><input id="step" type="range" min="0" max="$LAST" value="0">
<output id="number">0</output></div>
<script>
const pictures = $PICTURES;
const [picture, play, step, number] = ["picture", "play", "step", "number"].map(id => document.getElementById(id));
let timer = null;
function show(index) { step.value = index; number.value = index + " / $LAST"; picture.src = pictures[index]; }
function pause() { clearInterval(timer); timer = null; play.textContent = "play"; }
function start() {
  if (+step.value === $LAST) show(0);
  play.textContent = "pause";
  timer = setInterval(() => +step.value < $LAST ? show(+step.value + 1) : pause(), $INTERVAL);
}
play.onclick = () => timer ? pause() : start();
step.oninput = () => { pause(); show(+step.value); };
show(0);
start();
</script></body></html>
"""


def write_frames(path: Path, pictures: Iterator[Image], count: int, fps: float, title: str) -> None:
    """A folder with a PNG of every step, step-0000.png the first."""
    path.mkdir(exist_ok=True)
    for step, picture in enumerate(pictures):
        picture.save(path / f"step-{step:04}.png")


# By a file's ending; without one it is a folder.
WRITERS: dict[str, Writer] = {".gif": write_gif, ".png": write_sheet, ".html": write_page, "": write_frames}


def writer_of(path: Path) -> Writer:
    """What writes `path`. Raises CommandError (usage) where nothing can."""
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        endings = ", ".join(filter(None, WRITERS))
        raise CommandError(f"--out must end in {endings}, or be a folder's name without an ending, got {path}", 2)
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder {path.parent} to write {path.name} to; make it first", 2)
    if write is write_frames and path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise CommandError(f"--out {path} is there already; give a folder that is new or empty", 2)
    return write
