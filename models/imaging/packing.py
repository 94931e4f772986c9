"""JSON arrays as they are kept: as gzip, in a form in which several become one without inflating or compressing.

The brackets stand in stored blocks of their own. What lies between them ends at a whole byte, holds no last block, and
refers to nothing before itself: it may stand behind anything (RFC 1951, 3.2). Length and CRC-32 are computed from those
of the parts (RFC 1952, 2.3.1). Nothing depends on which library compressed it.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

LEVEL = 4
"""Of compression: twice as quick as the default, for some percent more."""
PIECE = 256 * 1024
"""Bytes that are handed on at a time."""
_RAW, _ANY = -zlib.MAX_WBITS, 32 + zlib.MAX_WBITS
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, no particular system
_HEAD = _HEADER + b"\0\1\0\xfe\xff["  # a stored block: not the last one, length 1, its complement, the byte
_COMMA = b"\0\1\0\xfe\xff,"
_TAIL = b"\1\1\0\xfe\xff]"
_TRAILER = struct.Struct("<II")
_POLYNOMIAL = 0xEDB88320
_BETWEEN = zlib.crc32(b"]") ^ zlib.crc32(b",") ^ zlib.crc32(b"[")
"""What the CRC of `…]` is changed by when a comma takes the place of the bracket, and of `[…` by its bracket."""


def packed(objects: Iterable[Iterable[bytes]]) -> bytes:
    """The gzip of an array of these, each given in pieces of its JSON."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW)
    kept, crc, size = [_HEAD], zlib.crc32(b"["), 1
    for number, pieces in enumerate(objects):
        for piece in chain((b",",) if number else (), pieces):
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            kept.append(packer.compress(piece))
    kept.append(packer.flush(zlib.Z_SYNC_FLUSH))
    return b"".join((*kept, _TAIL, _trailer(zlib.crc32(b"]", crc), size + 1)))


def as_packed(kept: bytes) -> bytes:
    """The same array in this form: what was kept before there was one is packed now."""
    return kept if kept.startswith(_HEAD) else packed([content(kept)])


def joined(arrays: Iterable[bytes]) -> Iterator[bytes]:
    """The gzip of the one array, in pieces; an array is asked for when those before it were taken. Below 4 GB each."""
    crc, size = zlib.crc32(b"[]"), 2
    for array in map(as_packed, arrays):
        its_crc, its_size = _TRAILER.unpack(array[-_TRAILER.size :])
        if its_size == 2:  # nothing in it
            continue
        if size == 2:  # nothing so far
            yield _HEAD
            crc, size = its_crc, its_size
        else:
            yield _COMMA
            crc, size = _followed(crc ^ _BETWEEN, its_size - 1) ^ its_crc, size + its_size - 1
        end = len(array) - len(_TAIL) - _TRAILER.size
        for start in range(len(_HEAD), end, PIECE):
            yield array[start : min(start + PIECE, end)]
    yield (_HEAD if size == 2 else b"") + _TAIL + _trailer(crc, size)


def inflated(deflated: Iterable[bytes]) -> Iterator[bytes]:
    """What a gzip or zlib stream holds, both in pieces: what is large need not stand in memory."""
    inflater = zlib.decompressobj(_ANY)
    for piece in deflated:
        left = piece
        while found := inflater.decompress(left, PIECE):
            yield found
            left = inflater.unconsumed_tail


def content(kept: bytes) -> Iterator[bytes]:
    """The objects of an array without its brackets, in pieces; or the one object, as images' were kept before."""
    pieces = inflated((kept,))
    held = next(pieces, b"")
    is_array = held.startswith(b"[")
    held = held[is_array:]
    for piece in pieces:
        yield held
        held = piece
    yield held[:-1] if is_array else held


def _trailer(crc: int, size: int) -> bytes:
    return _TRAILER.pack(crc, size & 0xFFFFFFFF)


def _followed(crc: int, count: int) -> int:
    """What a CRC adds to that of a text in which `count` bytes follow: times x^8 for each, modulo the polynomial."""
    power = 1 << 23  # x^8: the bits are in reverse
    while count:
        if count & 1:
            crc = _product(crc, power)
        power = _product(power, power)
        count >>= 1
    return crc


def _product(one: int, other: int) -> int:
    found = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            found ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return found
