"""`onetoall doctor`: what it looks at, and that one broken part does not hide the others."""

from onetoall_cli.hub.index import installed

SHARD = "model-00001-of-00002.safetensors"


def test_doctor_looks_at_everything_and_advises(hub, fetch):
    from onetoall_cli.doctor import diagnose

    findings = list(diagnose())
    subjects = {finding.subject for finding in findings}
    assert {"onetoall", "torch", "memory", "video", "pose detectors", "models", "hub", "disk"} <= subjects
    missing = next(finding for finding in findings if finding.subject == "models")
    assert "onetoall fetch 1.3b" in missing.advice
    assert all(finding.advice for finding in findings if finding.state != "good")


def test_doctor_finds_a_model_that_is_not_whole(hub, fetch):
    from onetoall_cli.doctor import diagnose

    fetch("1.3b", without=["text-encoder"])
    path = installed()["1.3b"].folder / SHARD
    path.resolve().write_bytes(path.read_bytes()[:-5])
    problems = [finding for finding in diagnose() if finding.state == "problem"]
    assert any("1.3b is incomplete" in finding.detail for finding in problems)


def test_doctor_goes_on_when_one_check_breaks(hub, monkeypatch):
    from onetoall_cli import doctor

    def broken():
        raise RuntimeError("no video")
        yield

    monkeypatch.setattr(doctor, "_video", broken)
    findings = list(doctor.diagnose())
    assert any(finding.subject == "video" and "no video" in finding.detail for finding in findings)
    assert findings[-1].subject == "disk"
