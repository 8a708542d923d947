"""`report.html` in a browser: videos play on focus, rows are filtered and sorted, and it needs nothing but itself."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.animator.jobs import Job
from onetoall_cli.animator.settings import ModelSettings, VideoSettings
from onetoall_cli.batch import Batch, Journal, Task
from onetoall_cli.batch.journal import Done, Failed
from onetoall_cli.batch.page import video_poster, write_page
from onetoall_cli.media import VideoWriter, write_picture

HOSTILE = "</script><b>b&d.png"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of three jobs: done, failed and waiting."""
    write_picture(tmp_path / "a.png", np.full((48, 32, 3), 200, np.uint8))
    for name in ("dance 1.mp4", "out.mp4"):
        with VideoWriter(tmp_path / name, 32, 48, fps=10) as writer:
            for shade in range(20):
                writer.write(np.full((48, 32, 3), 10 * shade, np.uint8))
    inputs = {"reference": tmp_path / "a.png", "driving": tmp_path / "dance 1.mp4"}

    def task(name: str, reference: Path) -> Task:
        job = Job("animate", {**inputs, "reference": reference})
        arguments = ("animate", str(reference), "dance 1.mp4", "--output", name)
        return Task(
            "here", {"output": name}, job, ModelSettings(), VideoSettings(), tmp_path / name, None, None, arguments
        )

    tasks = [
        task("out.mp4", inputs["reference"]),
        task("bad.mp4", Path(HOSTILE)),
        task("later.mp4", inputs["reference"]),
    ]
    with Journal.open(tmp_path / "journal.jsonl") as journal:
        made = {
            "seconds": 75.0,
            "network_runs": 4,
            "frames": 20,
            "duration": 2.0,
            "width": 32,
            "height": 48,
            "seed": 42,
        }
        journal.add(
            Done(
                key=tasks[0].key,
                output="out.mp4",
                **made,  # type: ignore[arg-type]
                mode="pose",
                why="Took it.",
                scale=0.5,
                arguments=tasks[0].arguments,
                poster=video_poster(tmp_path / "out.mp4"),
            )
        )
        journal.add(
            Failed(
                key=tasks[1].key,
                output="bad.mp4",
                seconds=1.0,
                error="No <person>.",
                advice="",
                arguments=tasks[1].arguments,
            )
        )
        write_page(tmp_path / "report.html", Batch(tasks, journal))
    return tmp_path / "report.html"


def test_names_and_messages_cannot_leave_their_place_in_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2 and "<person>" not in text
    (data,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    jobs = json.loads(data)["jobs"]
    assert [job["state"] for job in jobs] == ["done", "failed", "waiting"]
    assert jobs[0]["again"] == f"onetoall animate {page.parent / 'a.png'} 'dance 1.mp4' --output out.mp4"
    assert jobs[0]["inputs"]["driving"]["place"] == "dance%201.mp4"
    assert not re.search(r'(src|href)="?https?:', text), "it needs no network"


STEPS = """<script>
{
  const said = {}, table = document.querySelector("tbody");
  const rows = () => [...table.rows].map((row) => row.querySelector("td").innerText.trim().split("\\n")[0]);
  const type = (text) => { words.value = text; words.dispatchEvent(new Event("input")); };
  const choose = (state) => { stateChoice.value = state; stateChoice.dispatchEvent(new Event("change")); };
  said.count = document.getElementById("count").textContent;
  type("no <PERSON>"); said.filtered = rows();
  type("nothing at all"); said.none = !document.getElementById("gone").hidden;
  type(""); choose("waiting"); said.waiting = rows(); choose("");
  const head = document.querySelector("th[data-by=name] button");
  head.click(); said.up = rows(); head.click(); said.down = rows();
  said.sorted = head.parentElement.getAttribute("aria-sort");
  said.reachable = table.querySelectorAll("video[tabindex='0'], a[href], button").length;
  const video = table.querySelector("video");
  said.still = video.paused; video.focus(); said.plays = !video.paused; video.blur(); said.stops = video.paused;
  said.fits = document.documentElement.scrollWidth <= innerWidth;
  document.body.append(Object.assign(document.createElement("pre"), {id: "said", textContent: JSON.stringify(said)}));
}
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1280,900", "500,900"])
def test_the_page_works_in_a_browser_from_a_file(page: Path, size: str) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("Chromium is not installed.")
    tried = page.with_name("tried.html")
    tried.write_text(page.read_text(encoding="utf-8").replace("</html>", STEPS + "</html>"), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    command = [browser, *flags, f"--window-size={size}", "--dump-dom", tried.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (text,) = re.findall(r'<pre id="said">(.*?)</pre>', shown, re.DOTALL)
    said = json.loads(html.unescape(text))
    assert said["count"] == "1 done, 1 failed, 1 waiting"
    assert said["filtered"] == ["bad.mp4"] and said["none"] and said["waiting"] == ["later.mp4"]
    assert said["up"] == ["bad.mp4", "later.mp4", "out.mp4"] and said["down"] == said["up"][::-1]
    assert said["sorted"] == "descending" and said["reachable"] >= 8 and said["fits"]
    assert said["still"] and said["plays"] and said["stops"]
