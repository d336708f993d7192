"""Where a result was made: device, processor, versions, precision and commit."""

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from ..precision import processor_name

Environment = dict[str, Any]  # what `environment` returns, and what a record keeps of it


def environment(device: torch.device, precision: str) -> Environment:
    """Device, processor, threads, versions, precision, git commit and date of this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "cpu": f"{processor_name()}, {cores} {'core' if cores == 1 else 'cores'}",  # those that this process may use
        "threads": torch.get_num_threads(),
        "precision": precision,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "git_commit": _git_commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _git_commit() -> str | None:
    """The commit of this code, with `+` where files differ from it; None outside a repository."""
    here = Path(__file__).resolve().parent.parent

    def git(*command: str) -> str:
        return subprocess.check_output(["git", *command], cwd=here, text=True, stderr=subprocess.DEVNULL, timeout=10)

    try:
        return git("rev-parse", "--short=12", "HEAD").strip() + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
