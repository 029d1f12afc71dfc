"""The verifier of `examples/verify-log`, asked about one log after the other: a line in names a log and its list of signers, a
line out is the verdict."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "verify-log"))
sys.dont_write_bytecode = True

from verify_log.command import read_trust, verify  # noqa: E402

for pair in sys.stdin:
    log, signers = pair.split()
    word = verify(log, read_trust(signers, [], None), []).word
    print("INTERRUPTED" if word == "ENDED" else word, flush=True)
