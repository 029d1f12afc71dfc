"""Keys, certificates and signatures in SSH's forms: Ed25519 by its definition, the other curve by ssh-keygen. Nothing of logs."""

import base64
import hashlib
import os
import subprocess

# --- Ed25519 (RFC 8032), to sign only. ---
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def powers():
    y = 4 * pow(5, P - 2, P) % P
    x = pow((y * y - 1) * pow(D * y * y + 1, P - 2, P), (P + 3) // 8, P)
    if (x * x - (y * y - 1) * pow(D * y * y + 1, P - 2, P)) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 else x
    out = [(x, y, 1, x * y % P)]
    while len(out) < 256:
        out.append(add(out[-1], out[-1]))
    return out


POWERS = powers()


def base(n):
    out = (0, 1, 1, 0)
    for bit in range(256):
        if n >> bit & 1:
            out = add(out, POWERS[bit])
    z = pow(out[2], P - 2, P)
    return (out[1] * z % P | (out[0] * z % P & 1) << 255).to_bytes(32, "little")


class Ed:
    def __init__(self, name):
        hashed = hashlib.sha512(hashlib.sha256(name.encode()).digest()).digest()
        self.a = int.from_bytes(hashed[:32], "little") & (2**254 - 8) | 2**254
        self.prefix, self.raw = hashed[32:], base(self.a)

    def sign(self, message):
        n = lambda *parts: int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L
        r = n(self.prefix, message)
        point = base(r)
        return point + ((r + n(point, self.raw, message) * self.a) % L).to_bytes(32, "little")


# --- SSH's forms. ---
def pack(*parts):
    return b"".join(len(p).to_bytes(4, "big") + p for p in parts)


def text64(blob):
    return base64.b64encode(blob).decode()


ED, SK = b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com"


class Key:
    """A plain key, or one that only a touch makes sign: `flags` is what it says about the person."""

    def __init__(self, name, sk=None):
        self.ed, self.sk = Ed(name), sk
        self.kind = ED if sk is None else SK
        self.parts = (self.ed.raw,) if sk is None else (self.ed.raw, b"ssh:")
        self.plain = self.blob = pack(self.kind, *self.parts)

    def make(self, message):
        if self.sk is None:
            return pack(ED, self.ed.sign(message))
        tail = bytes([self.sk]) + b"\0\0\0\7"
        sha = lambda data: hashlib.sha256(data).digest()
        return pack(SK, self.ed.sign(sha(b"ssh:") + tail + sha(message))) + tail

    def line(self):
        kind = self.blob[4 : 4 + int.from_bytes(self.blob[:4], "big")]
        return f"{kind.decode()} {text64(self.blob)}"

    def fingerprint(self):
        return "SHA256:" + text64(hashlib.sha256(self.plain).digest()).rstrip("=")


class Nist(Key):
    """A key of the other curve, which ssh-keygen holds."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name)
        if not os.path.exists(self.path):
            subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", name, "-f", self.path], check=True)
        words = open(self.path + ".pub").read().split()
        self.blob = self.plain = base64.b64decode(words[1])

    def armor(self, space, message, **_):
        run = ["ssh-keygen", "-q", "-Y", "sign", "-f", self.path, "-n", space]
        return subprocess.run(run, input=message, capture_output=True, check=True).stdout.decode()


def certified(key, by, names, kind=1, critical=(), after=0, before=2**64 - 1, broken=False):
    """The same key, with what an authority says about it."""
    of = Key.__new__(Key)
    of.__dict__.update(key.__dict__)
    longs = lambda n: n.to_bytes(8, "big")
    options = b"".join(pack(name.encode(), pack(b"x") if name == "force-command" else b"") for name in sorted(critical))
    name = key.kind.replace(b"@openssh.com", b"") + b"-cert-v01@openssh.com"
    body = pack(name, b"n" * 32, *key.parts) + longs(7) + kind.to_bytes(4, "big") + pack(b"job 7", pack(*[n.encode() for n in names]))
    body += longs(after) + longs(before) + pack(options, b"", b"", by.blob)
    of.blob = body + pack(by.make(body + b"?" if broken else body))
    return of


def wrapped(blob, columns=70):
    body = text64(blob)
    lines = [body[n : n + columns] for n in range(0, len(body), columns)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def armor(key, space, message, hash_name="sha512", reserved=b"", more=b"", columns=70):
    if isinstance(key, Nist):
        return key.armor(space, message)
    digest = hashlib.new(hash_name, message).digest()
    made = key.make(b"SSHSIG" + pack(space.encode(), b"", hash_name.encode(), digest))
    blob = b"SSHSIG\0\0\0\1" + pack(key.blob, space.encode(), reserved, hash_name.encode(), made) + more
    return wrapped(blob, columns)
