"""ClientHellos made by hand: of any length, and split over TLS records at will (RFC 8446, sections 4.1.2 and 5.1)."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_RECORD = 16384
_PADDING = 21
_SUPPORTED_VERSIONS = 43


def client_hello(name: str | None, length: int | None = None) -> bytes:
    """Give a ClientHello, without record headers, of just this length if told; its server name is the last but the padding."""
    extensions = _extension(_SUPPORTED_VERSIONS, b"\x02\x03\x04")
    if name is not None:
        text = name.encode()
        entry = b"\x00" + _sized(2, text)
        extensions += _extension(0, _sized(2, entry))
    if length is not None:
        # The extension's own header, and what a message has around its extensions.
        fill = length - len(_message(extensions)) - 4
        assert fill >= 0
        extensions += _extension(_PADDING, bytes(fill))
    message = _message(extensions)
    assert length is None or len(message) == length
    return message


def tls13_hello(name: bytes, share: bytes = b"") -> bytes:
    """Give a ClientHello of TLS 1.3 in its record; without a share of a key (X25519, 32 bytes) the server asks for one, by a second hello (RFC 8446, section 4.1.4)."""
    extensions = (
        _extension(_SUPPORTED_VERSIONS, b"\x02\x03\x04")
        + _extension(0, _sized(2, b"\x00" + _sized(2, name)))
        + _extension(10, _sized(2, b"\x00\x1d"))
        + _extension(13, _sized(2, b"\x04\x03\x08\x04\x04\x01"))
        + _extension(51, _sized(2, b"\x00\x1d" + _sized(2, share) if share else b""))
    )
    return records(_message(extensions))


def records(message: bytes, lengths: Iterable[int] = ()) -> bytes:
    """Give a handshake message in records: first some of these lengths, then as few as may be."""
    pieces = []
    for length in lengths:
        pieces.append(message[:length])
        message = message[length:]
    while message:
        pieces.append(message[:LONGEST_RECORD])
        message = message[LONGEST_RECORD:]
    return b"".join(b"\x16\x03\x01" + _sized(2, piece) for piece in pieces)


def _message(extensions: bytes) -> bytes:
    body = b"\x03\x03" + b"R" * 32 + b"\x00" + _sized(2, b"\x13\x01\x13\x02") + b"\x01\x00" + _sized(2, extensions)
    return b"\x01" + _sized(3, body)


def _extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + _sized(2, content)


def _sized(bytes_of_length: int, content: bytes) -> bytes:
    return len(content).to_bytes(bytes_of_length, "big") + content
