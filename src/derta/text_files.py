"""From a file to text: what it is packed with, and how its characters are written; told by its bytes, not its name.

A byte that is not of the encoding becomes a lone surrogate, which the reader of lines and cells rejects by name:
never U+FFFD, which would change what a model said.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import unicodedata
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from derta.errors import DataError
from derta.files import check_regular

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 20  # bytes read at a time
MAX_WINDOW = 1 << 31  # bytes of zstd's window; `zstd --long=31` is its largest
NOT_DECODED = re.compile("[\udc80-\udcff]")
_BOMS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZSTD = b"\x28\xb5\x2f\xfd"
_CP1252_MARKS = frozenset("€‚„…†‡‰‹‘’“”•–—™›«»°§©®·´`¿¡£ºª±×÷½¼¾²³¹ \xa0¢¥µ¶")


class Damaged(Exception):
    """A packed file that ends too early or can't be unpacked from some place on; its text is the reason."""


class Encoding(NamedTuple):
    """codec: Python's name; shown: what the user is told, "" for plain UTF-8."""

    codec: str
    shown: str


def open_bytes(path: Path) -> io.BufferedReader:
    """The file's bytes, unpacked if it is gzip, zstd, xz or bzip2.

    Raises:
        DataError: it can't be opened.
    """
    check_regular(path)
    try:
        return unpacked(path.open("rb"))
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None


def unpacked(handle: IO[bytes]) -> io.BufferedReader:
    """The bytes of a stream that can seek, unpacked if they are gzip, zstd, xz or bzip2."""
    magic = handle.read(6)
    handle.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast("io.BufferedReader", gzip.GzipFile(fileobj=handle))
    if magic.startswith(_ZSTD):
        return io.BufferedReader(_Raw(handle, _zstd_blocks(handle)), BLOCK)
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast("io.BufferedReader", lzma.LZMAFile(handle))
    packed = magic.startswith(b"BZh")
    return cast("io.BufferedReader", bz2.BZ2File(handle) if packed else handle)


def checked_stream(handle: io.BufferedReader) -> io.BufferedReader:
    """The rest of the same bytes; what can't be unpacked is `Damaged`."""
    return io.BufferedReader(_Raw(handle, blocks(handle)), BLOCK)


def utf8_lines(handle: io.BufferedReader) -> io.BufferedReader:
    """The same bytes, whose faults are `Damaged`; as UTF-8 if they are UTF-16 or UTF-32 (a mark, or every other
    byte of the beginning is NUL). Other bytes stay as they are, a byte-order mark of UTF-8 is gone.
    """
    source = blocks(handle)
    head = next(source, b"")
    whole = chain([head], source)
    codec = _wide_codec(head)
    if codec is None:
        whole = chain([head.removeprefix(codecs.BOM_UTF8)], source)
    return io.BufferedReader(_Raw(handle, whole if codec is None else _as_utf8(whole, codec)), BLOCK)


def _wide_codec(head: bytes) -> str | None:
    """The codec of text in units of two or four bytes, or None."""
    marked = next((name for bom, name in _BOMS if head.startswith(bom)), None)
    if marked is not None:
        return None if marked == "utf-8-sig" else marked
    even = _half_nul(head[:4096])
    return None if even is None else "utf-16-be" if even else "utf-16-le"


def _as_utf8(source: Iterator[bytes], codec: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        for block in source:
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise Damaged(f"no {codec.upper()} from here on ({error.reason}); save the file as UTF-8") from None


def blocks(handle: io.BufferedReader) -> Iterator[bytes]:
    """The rest of the file in blocks.

    Raises:
        Damaged: the packed data end too early or are no such data.
    """
    import zstandard

    while True:
        try:
            block = handle.read1(BLOCK)  # what is there: a cut file gives all before its cut
        except (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise Damaged(f"the packed file is cut or damaged: {str(error)[:100]}") from None
        if not block:
            return
        yield block


def encoding_of(path: Path) -> Encoding:
    """How the file's characters are written: UTF-8 (also with damaged places), UTF-16, UTF-32 or Windows-1252.

    Raises:
        DataError: none of these.
    """
    with open_bytes(path) as handle:
        return _detect(path, handle)


def text_stream(path: Path, encoding: Encoding) -> io.TextIOWrapper:
    """The text; what is not of the encoding stands as lone surrogates. Lines end as the file has them."""
    handle = open_bytes(path)
    raw = checked_stream(handle)
    errors = "surrogateescape" if encoding.codec.startswith("utf-8") else "replace"
    return io.TextIOWrapper(raw, encoding=encoding.codec, errors=errors, newline="")


def _detect(path: Path, handle: io.BufferedReader) -> Encoding:
    census = _Census()
    head = b""
    try:
        for block in blocks(handle):
            if not head:
                head = block[:4096]
                if (codec := _wide_codec(head)) is not None:
                    unmarked = " without a byte-order mark" if codec[-2:] in ("le", "be") else ""
                    return _checked(path, Encoding(codec, codec.upper() + unmarked))
            census.add(block)
    except Damaged:
        pass  # the reader of the rows says so, at its place
    census.end()
    if census.first_bad is None or census.multibyte:
        return Encoding("utf-8-sig", "")
    if census.is_windows:
        return Encoding("cp1252", "Windows-1252")
    raise DataError(
        f"{path}: not UTF-8 at byte {census.first_bad + 1}, and neither UTF-16 nor Windows-1252; "
        "save the file as UTF-8"
    )


def _half_nul(head: bytes) -> bool | None:
    """Whether every other byte is NUL (ASCII text in UTF-16): True at even places, False at odd ones, None: no."""
    if len(head) < 4:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > 0.6 * half and even < 0.1 * half:
        return False
    return True if even > 0.6 * half and odd < 0.1 * half else None


def _checked(path: Path, encoding: Encoding) -> Encoding:
    """The encoding, if the whole file is of it."""
    decoder = codecs.getincrementaldecoder(encoding.codec)()
    try:
        with open_bytes(path) as handle:
            for block in blocks(handle):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise DataError(
            f"{path}: looks like {encoding.shown}, and is damaged ({str(error)[-80:]}); save it as UTF-8"
        ) from None
    except Damaged:
        pass
    return encoding


class _Census:
    """What a stream of bytes holds, seen as UTF-8."""

    def __init__(self) -> None:
        self.multibyte = 0  # characters of more than one byte
        self.first_bad: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._read = 0
        self.is_windows = (
            True  # the odd bytes read as Windows-1252: typographic marks, letters among Latin ones
        )

    def add(self, block: bytes) -> None:
        text = self._decoder.decode(block)
        if not text.isascii():
            self._look(text)
        self._read += len(block)

    def end(self) -> None:
        pending = self._decoder.getstate()[0]
        if not pending:  # a character cut at the end of the file says nothing of the encoding
            self._look(self._decoder.decode(b"", final=True))

    def _look(self, text: str) -> None:
        bad = list(NOT_DECODED.finditer(text))
        self.multibyte += sum(ord(c) > 127 and not "\udc80" <= c <= "\udcff" for c in text)
        if bad and self.first_bad is None:
            self.first_bad = self._read + len(text[: bad[0].start()].encode("utf-8", "surrogateescape"))
        stretches = (text[max(0, match.start() - 2) : match.end() + 2] for match in bad)
        self.is_windows = self.is_windows and all(map(_reads_as_windows, stretches))


def _reads_as_windows(stretch: str) -> bool:
    try:
        read = stretch.encode("ascii", "surrogateescape").decode("cp1252")
    except UnicodeError:
        return False
    odd = [character for character in read if ord(character) > 127]
    is_known = all(c in _CP1252_MARKS or unicodedata.name(c, "").startswith("LATIN") for c in odd)
    return is_known and len(odd) <= 3  # text of another alphabet is odd bytes all over


class _Raw(io.RawIOBase):
    """Blocks of bytes as a raw stream over the file that they come from."""

    def __init__(self, handle: IO[bytes], source: Iterator[bytes]) -> None:
        self._handle = handle
        self._source = source
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._left and (block := next(self._source, None)) is not None:
            self._left = block  # an empty one is not the end
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        self._handle.close()
        super().close()


def _zstd_blocks(handle: IO[bytes]) -> Iterator[bytes]:
    """Frames of zstd one after another. The library's own stream ends silently where a frame is cut.

    Raises:
        EOFError: the last frame has no end.
    """
    import zstandard

    def new() -> Any:
        return zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()

    frame, is_open = new(), False
    while packed := handle.read(1 << 16):
        while packed:
            unpacked = frame.decompress(packed)
            packed, is_open = frame.unused_data, not frame.eof
            if frame.eof:
                frame = new()
            if unpacked:
                yield unpacked
    if is_open:
        raise EOFError("the last zstd frame has no end")
