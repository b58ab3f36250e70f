"""Say which of the pinned packages have known vulnerabilities: ``make audit``.

pip-audit asks PyPI about each pin of ``requirements.lock``. It stands in an environment of its own, for no study needs
it. Where PyPI's vulnerability service cannot be reached, that is said, and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv" / "audit"
AUDITOR = "pip-audit==2.10.1"
NOT_REACHED = "Nothing was audited: the vulnerability service could not be reached from here"


def verdict(found: dict[str, Any]) -> tuple[list[str], int]:
    """Lines to print and the exit code, from what pip-audit found, as in its JSON."""
    packages = found["dependencies"]
    unknown = [one for one in packages if "skip_reason" in one]
    lines = [
        f"{one['name']} {one['version']}: {fault['id']}, "
        + (f"mended in {', '.join(fault['fix_versions'])}" if fault["fix_versions"] else "not mended yet")
        for one in packages
        for fault in one.get("vulns", [])
    ]
    if lines:
        return lines, 1
    if len(unknown) == len(packages):
        return [f"{NOT_REACHED} (it knows none of {len(packages)} packages)."], 0
    missing = f"; {len(unknown)} could not be looked up" if unknown else ""
    return [f"No known vulnerabilities in {len(packages) - len(unknown)} packages{missing}."], 0


def audit(lock: Path) -> tuple[list[str], int]:
    """Lines to print and the exit code for a file of pins."""
    auditor = ENVIRONMENT / "bin" / "pip-audit"
    try:
        if not auditor.exists():
            subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
            subprocess.run([ENVIRONMENT / "bin" / "pip", "install", "-qq", AUDITOR], check=True)
        options = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json"]
        done = subprocess.run([auditor, "--requirement", lock, *options], capture_output=True, check=False)
        return verdict(json.loads(done.stdout))
    except subprocess.CalledProcessError as error:
        return [f"{NOT_REACHED} ({AUDITOR} could not be installed: {error})."], 0
    except json.JSONDecodeError:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no answer"]
        return [f"{NOT_REACHED} ({reason[0]})."], 0


if __name__ == "__main__":
    lines, code = audit(Path(sys.argv[1]))
    print("\n".join(lines))
    sys.exit(code)
