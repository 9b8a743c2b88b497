"""A realm of its own: the key distribution centre of MIT Kerberos (Debian: krb5-kdc, krb5-admin-server, krb5-user)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

REALM = "PLANT.TEST"
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")


def missing() -> str | None:
    """Why there can be no realm here; None where there can."""
    absent = [each for each in PROGRAMS if shutil.which(each, path=_PATH) is None]
    return f"needs {', '.join(absent)} (Debian: krb5-kdc krb5-admin-server krb5-user)" if absent else None


class Kdc:
    """A context manager; its files lie in `folder`. `environ` leads programs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        config, profile = folder / "krb5.conf", folder / "kdc.conf"
        config.write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n"
            " dns_canonicalize_hostname = false\n max_retries = 1\n clockskew = 1\n"
            f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{self.port}\n }}\n"
            f"[domain_realm]\n localhost = {REALM}\n[logging]\n kdc = FILE:{folder / 'kdc.log'}\n"
        )
        profile.write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{self.port}\n kdc_tcp_listen = 127.0.0.1:{self.port}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {folder / 'principal'}\n  key_stash_file = {folder / 'stash'}\n"
            f"  acl_file = {folder / 'acl'}\n  max_life = 10h\n }}\n"
        )
        self.environ = {"KRB5_CONFIG": str(config), "KRB5_KDC_PROFILE": str(profile), "PATH": _PATH}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Kdc:
        self.run("kdb5_util", "create", "-s", "-W", "-r", REALM, "-P", "a-master-password")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Serve tickets."""
        command = [shutil.which("krb5kdc", path=_PATH) or "krb5kdc", "-n"]
        with (self.folder / "kdc.out").open("ab") as log:
            self._process = subprocess.Popen(command, env={**os.environ, **self.environ}, stdout=log, stderr=log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError((self.folder / "kdc.out").read_text())

    def stop(self) -> None:
        """Serve no more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def log(self) -> str:
        """What the centre has logged."""
        return (self.folder / "kdc.log").read_text()

    def run(self, *command: str, given: str = "", **environ: str) -> str:
        """Run a program of Kerberos and return what it prints."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environ, **environ},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def add(self, principal: str, password: str = "") -> None:
        """Add an account or a service."""
        key = f"-pw {password}" if password else "-randkey"
        self.run("kadmin.local", "-q", f"addprinc +requires_preauth {key} {principal}")

    def keytab(self, name: str, principal: str) -> str:
        """Write new keys of a principal to a file and return its path; keytabs from before are stale."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        self.run("kadmin.local", "-q", f"ktadd -k {path} {principal}")
        return str(path)

    def kinit(self, cache: Path, principal: str, password: str, *options: str) -> str:
        """Get a ticket by a password and return the name of its cache."""
        self.run("kinit", *options, principal, given=f"{password}\n", KRB5CCNAME=f"FILE:{cache}")
        return f"FILE:{cache}"
