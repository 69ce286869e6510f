"""What the README says is true."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_loss_in_the_readme_runs_beside_its_parent(tmp_path):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert "100_000" in code and "range(10)" in code
    script = tmp_path / "my_loss.py"
    script.write_text(code.replace("100_000", "2_000").replace("range(10)", "range(2)"))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"ppo-kl\s+\d", done.stdout) and re.search(r"ppo\s+\d", done.stdout)


def test_the_readme_names_no_file_that_is_not_there():
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / target).exists(), target
