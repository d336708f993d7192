"""The page on auditing a model: the scripts and commands that stand in it, which the tests run as a reader does."""

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[3] / "book" / "audit_your_model.md"
TEXT = PAGE.read_text()
SCRIPT, API = re.findall(r"```python\n(.*?)```", TEXT, re.S)
COMMANDS = [shlex.split(found) for found in re.findall(r"```bash\npython -m bu_core (.*?)\n```", TEXT, re.S)]
(PROFILE,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
