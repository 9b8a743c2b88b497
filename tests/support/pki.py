"""A private certificate authority, the servers that it vouches for, and the certificates of applications."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class PrivateCa:
    """A CA that no machine trusts. `bundle` is the PEM file to trust it by."""

    folder: Path
    bundle: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def server_context(self, *names: str) -> ssl.SSLContext:
        """The TLS side of a server of these names (host names or addresses)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_pem(*names))
        return context

    def server_pem(self, *names: str) -> Path:
        """A file with key and certificate of a server of these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(f"{names[0]}", self.certificate.subject, key.public_key())
        certificate = (
            builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"server-{certificate.serial_number:x}.pem"
        path.write_bytes(_key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return path


@dataclass(frozen=True)
class ClientCertificate:
    """The certificate of an application: `path` holds it with its key, encrypted where `password` is not empty."""

    path: Path
    password: str = field(repr=False)
    certificate: x509.Certificate


def make_ca(folder: Path, name: str = "Test CA") -> PrivateCa:
    """A new CA, whose files go to `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(name, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    bundle = folder / f"ca-{certificate.serial_number:x}.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return PrivateCa(folder, bundle, certificate, key)


def make_client_certificate(folder: Path, password: str = "", form: str = "pem") -> ClientCertificate:
    """A self-signed RSA certificate, as an application's owner makes one. `form` is `pem` or `pfx`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = _name("omnia-beam test application")
    certificate = _builder("application", subject, key.public_key()).sign(key, hashes.SHA256())
    protection: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    path = folder / f"application-{certificate.serial_number:x}.{form}"
    if form == "pfx":
        path.write_bytes(pkcs12.serialize_key_and_certificates(b"app", key, certificate, None, protection))
    else:
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
        path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return ClientCertificate(path, password, certificate)


_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(
    name: str, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 2 * _DAY)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
