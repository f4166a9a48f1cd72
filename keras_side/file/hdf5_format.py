"""The part of the HDF5 file format that Keras writes, in Python.

libhdf5 cannot be handed a file from anywhere: of 4,800 files changed in a few bytes it crashed over two and
never came back from two (version 1.14.6). Here every offset is looked up within the file, every object is
parsed once, and steps are counted, so that no file takes more time or memory than its size allows.

What h5py writes unless told otherwise is read: both kinds of object headers, groups as symbol tables, with
few links or with many (which a single name outside ASCII makes of a group), attributes in the header, and
data in one piece. All else (chunks, filters) Keras never makes, and is refused.

Source:
    HDF5 File Format Specification Version 3.0; its section is named at each function.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BufferedIOBase

import numpy as np

from biport.errors import FileError
from biport.weight_files import read_array
from keras_side.file.archive import Stored

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = 2**64 - 1
"""An address of nothing."""
MAX_STEPS = 10**6
"""How many messages, entries and quarters of a kB of them one file may take; a thousand LSTMs take 58,000."""
MAX_RANK = 32
MAX_LEVELS = 16
"""Of a tree of names; each level has 16 times the names of the one below, or more."""

DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT = 0x1, 0x2, 0x3, 0x6, 0x7, 0x8
ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0xC, 0x10, 0x11, 0x15
CLASSES = (
    *("integer", "float", "time", "text", "bits", "opaque"),
    *("compound", "reference", "enumeration", "variable length", "array"),
)
FLOATS: Mapping[tuple[int, ...], str] = {
    (4, 31, 0, 32, 23, 8, 0, 23, 127): "float32",
    (8, 63, 0, 64, 52, 11, 0, 52, 1023): "float64",
    (2, 15, 0, 16, 10, 5, 0, 10, 15): "float16",
}
"""IEEE formats: size; sign; offset, precision; exponent, mantissa: where and how long; bias (IV.A.2.d)."""

BFLOAT16 = "bfloat16"
STORED_FLOATS = ("float32", "float64", "float16", BFLOAT16)
"""What an array of weights may be stored as."""

Message = tuple[int, int, bytes]
"""Type, flags and body of a message in an object's header."""


@dataclass(frozen=True)
class Datatype:
    """The type of an element.

    Args:
        name: such as ``"float32"``, or what class it is.
        size: in bytes, as stored.
        is_text: text of a fixed size, or of any where ``is_variable``.
        big_endian: as it says.
        padding: for text of a fixed size: 0 where it ends at the first NUL, else what it is filled up with.
    """

    name: str
    size: int
    is_text: bool = False
    is_variable: bool = False
    big_endian: bool = False
    padding: int = 0


class Link:
    """A name for something elsewhere: a path, or one in another file."""


@dataclass
class Hdf5Object:
    """What an object header describes."""

    parser: Parser
    address: int
    messages: list[Message] = field(repr=False)

    def body(self, kind: int) -> bytes | None:
        """The message of a kind, or ``None``; the first one where there are several."""
        return next((body for own, _, body in self.messages if own == kind), None)

    @cached_property
    def attrs(self) -> Mapping[str, Attribute]:
        """The attributes by name."""
        info = self.body(ATTRIBUTE_INFO)
        if info is not None and self.parser.address_at(info, 2 + 2 * (info[1] & 1)) != NOWHERE:
            raise self.parser.foreign("attributes outside of the header")
        attributes: dict[str, Attribute] = {}
        for kind, flags, body in self.messages:
            if kind == ATTRIBUTE:
                name, attribute = self.parser.attribute(body, flags)
                if name in attributes:
                    raise self.parser.damaged(f"two attributes {name!r}")
                attributes[name] = attribute
        return attributes


@dataclass
class Group(Hdf5Object):
    """A group; its members are parsed when they are asked for."""

    @cached_property
    def _links(self) -> dict[str, int | Link]:
        links: dict[str, int | Link] = {}
        for name, target in self.parser.links(self):
            if name in links:
                raise self.parser.damaged(f"two members {name!r} of a group")
            links[name] = target
        return links

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def get(self, name: str) -> Hdf5Object | Link | None:
        """A member, or where it leads; ``None`` where there is none."""
        target = self._links.get(name)
        return self.parser.object_at(target) if isinstance(target, int) else target


@dataclass
class Dataset(Hdf5Object):
    """An array."""

    @cached_property
    def shape(self) -> tuple[int, ...] | None:
        """Its sizes; ``None`` where it is declared to have no elements."""
        return self.parser.shape(self._needed(DATASPACE))

    @property
    def size(self) -> int:
        """How many elements are declared."""
        return 0 if self.shape is None else math.prod(self.shape)

    @cached_property
    def datatype(self) -> Datatype:
        """The type of its elements."""
        return self.parser.datatype(self._needed(DATATYPE))

    @property
    def is_elsewhere(self) -> bool:
        """Whether its elements are in other files."""
        return self.body(EXTERNAL) is not None or self._needed(LAYOUT)[1] == 3

    @property
    def is_in_one_piece(self) -> bool:
        """Whether its elements are stored one after the other, as they are."""
        layout = self._needed(LAYOUT)
        return layout[0] in (3, 4) and layout[1] in (0, 1)

    @cached_property
    def stored(self) -> int:
        """How many bytes of it are stored in one piece."""
        layout = self._needed(LAYOUT)
        if not self.is_in_one_piece:
            return 0
        if layout[1] == 0:
            return self.parser.integer(layout, 2, 2)
        return 0 if self.parser.address_at(layout, 2) == NOWHERE else self.parser.integer(layout, 10, 8)

    def read(self) -> np.ndarray:
        """Its elements, floats in one piece, all of them stored; those of 16 bits as float32."""
        name = "uint16" if self.datatype.name == BFLOAT16 else self.datatype.name
        dtype = np.dtype(name).newbyteorder(">" if self.datatype.big_endian else "<")
        shape, layout = self.shape or (), self._needed(LAYOUT)
        if layout[1] == 0:
            array = np.frombuffer(layout, dtype, self.size, 4).reshape(shape).copy()
        elif self.size:
            array = self.parser.array(self.parser.address_at(layout, 2), dtype, shape)
        else:
            array = np.empty(shape, dtype)
        array = array.astype(dtype.newbyteorder("="), copy=False)
        if name == "uint16":
            # The upper half of a float32.
            return (array.astype("uint32") << 16).view("float32")
        return array.astype("float32") if name == "float16" else array

    def _needed(self, kind: int) -> bytes:
        body = self.body(kind)
        if body is None or len(body) < 2:
            raise self.parser.damaged("an array that is not described")
        return body


@dataclass(frozen=True)
class Attribute:
    """A small array beside an object."""

    parser: Parser
    datatype: Datatype
    shape: tuple[int, ...] | None
    data: bytes

    def texts(self) -> list[bytes]:
        """Its elements, which are text."""
        count = 0 if self.shape is None else math.prod(self.shape)
        size = self.datatype.size
        if count * size > len(self.data) or not size:
            raise self.parser.damaged("an attribute that declares more than is stored")
        self.parser.spend(count)
        items = [self.data[start : start + size] for start in range(0, count * size, size)]
        if self.datatype.is_variable:
            return [self.parser.from_heap(item) for item in items]
        if self.datatype.padding == 0:
            return [item.split(b"\0", 1)[0] for item in items]
        return [item.rstrip(b"\0" if self.datatype.padding == 1 else b" ") for item in items]


class Parser:
    """An open file, parsed object by object.

    Args:
        file: opened for reading bytes; stays open.
        size: its size.
        owner: how errors call it.
        whole: where it is stored; ``None`` where it is in memory.

    Raises:
        FileError: it is truncated or damaged, here and in every method.
    """

    def __init__(self, file: BufferedIOBase, size: int, owner: str, whole: Stored | None) -> None:
        self._whole = whole
        self.owner = owner
        self.size = size
        self._file = file
        self._steps = MAX_STEPS
        self._objects: dict[int, Hdf5Object] = {}
        self._heaps: dict[int, dict[int, bytes]] = {}

    def damaged(self, what: str) -> FileError:
        """The error for bytes that are not what they should be."""
        return FileError(f"{self.owner}: is truncated or damaged ({what})")

    def foreign(self, what: str) -> FileError:
        """The error for what only other programs write."""
        return FileError(
            f"{self.owner}: has {what}, which Keras does not write; load it with Keras and save it again"
        )

    def spend(self, steps: int) -> None:
        """Count steps."""
        self._steps -= steps
        if self._steps < 0:
            raise FileError(f"{self.owner}: has more parts than any model's weights")

    def bytes_at(self, offset: int, count: int) -> bytes:
        """So many bytes of the file."""
        if offset + count > self.size:
            raise self.damaged(f"{count} bytes at {offset} of {self.size}")
        self.spend(1 + count // 256)
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) != count:
            raise self.damaged(f"{count} bytes at {offset} of {self.size}")
        return data

    def array(self, offset: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """An array as it is stored."""
        count = math.prod(shape) * dtype.itemsize
        if offset + count > self.size:
            raise self.damaged(f"{count} bytes at {offset} of {self.size}")
        if self._whole is None:
            self._file.seek(offset)
            return np.frombuffer(bytearray(self._file.read(count)), dtype).reshape(shape)
        try:
            return read_array(self._whole.path, self._whole.start + offset, dtype, shape)
        except EOFError as error:
            raise self.damaged(str(error)) from error

    def integer(self, data: bytes, offset: int, size: int) -> int:
        """An unsigned integer in ``data``."""
        if offset + size > len(data):
            raise self.damaged("a part that ends too soon")
        return int.from_bytes(data[offset : offset + size], "little")

    def address_at(self, data: bytes, offset: int) -> int:
        """An address in ``data``."""
        return self.integer(data, offset, 8)

    def root(self) -> Group:
        """The outermost group (II.A)."""
        start = self.bytes_at(0, min(self.size, 96))
        if start[:8] != SIGNATURE or len(start) < 48:
            raise self.damaged("no HDF5")
        version = self.integer(start, 8, 1)
        sizes, base = (13, 24 + 4 * (version == 1)) if version < 2 else (9, 12)
        if version > 3 or start[sizes : sizes + 2] != b"\x08\x08":
            raise self.foreign(f"a superblock of version {version} or sizes other than 8 bytes")
        if self.address_at(start, base):
            raise self.foreign("a user block")
        end = self.address_at(start, base + 16)
        if end > self.size:
            raise self.damaged(f"{end} bytes are declared, {self.size} are there")
        root = self.object_at(self.address_at(start, base + (40 if version < 2 else 24)))
        if not isinstance(root, Group):
            raise self.damaged("no outermost group")
        return root

    def object_at(self, address: int) -> Hdf5Object:
        """The object at an address, one and the same whenever it is asked for."""
        if address not in self._objects:
            messages = list(self._messages(address))
            kinds = {kind for kind, _, _ in messages}
            own = (
                Dataset
                if LAYOUT in kinds
                else Group
                if kinds & {SYMBOL_TABLE, LINK_INFO, LINK}
                else Hdf5Object
            )
            self._objects[address] = own(self, address, messages)
        return self._objects[address]

    def _messages(self, address: int) -> Iterator[Message]:
        """The messages of an object header (IV.A.1)."""
        start = self.bytes_at(address, 16)
        newer, flags = start[:4] == b"OHDR", 0
        if newer:
            flags = start[5]
            offset = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
            width = 1 << (flags & 3)
            blocks = [(offset + width, self.integer(self.bytes_at(offset, width), 0, width))]
        elif start[0] == 1:
            blocks = [(address + 16, self.integer(start, 8, 4))]
        else:
            raise self.damaged(f"no object at {address}")
        for block in blocks:
            parts = self._parts_2(block, flags) if newer else self._parts_1(block)
            for kind, own, body in parts:
                if kind == CONTINUATION:
                    offset, size = self.address_at(body, 0), self.integer(body, 8, 8)
                    blocks.append((offset + 4, max(size - 8, 0)) if newer else (offset, size))
                elif own & 2 and kind in (DATASPACE, DATATYPE, LINK, LAYOUT, ATTRIBUTE):
                    raise self.foreign("messages that objects share")
                else:
                    yield kind, own, body

    def _parts_1(self, block: tuple[int, int]) -> Iterator[Message]:
        data = self.bytes_at(*block)
        offset = 0
        while offset + 8 <= len(data):
            kind, size, flags = struct.unpack_from("<HHB", data, offset)
            yield self._part(data, offset + 8, size, kind, flags)
            offset += 8 + size

    def _parts_2(self, block: tuple[int, int], flags: int) -> Iterator[Message]:
        data = self.bytes_at(*block)
        head = 4 + 2 * bool(flags & 4)
        offset = 0
        while offset + head <= len(data):
            kind, size, own = struct.unpack_from("<BHB", data, offset)
            yield self._part(data, offset + head, size, kind, own)
            offset += head + size

    def _part(self, data: bytes, offset: int, size: int, kind: int, flags: int) -> Message:
        self.spend(1 + size // 256)
        if offset + size > len(data):
            raise self.damaged("a message that ends too late")
        return kind, flags, data[offset : offset + size]

    def links(self, group: Group) -> Iterator[tuple[str, int | Link]]:
        """The names in a group and what they lead to."""
        table = group.body(SYMBOL_TABLE)
        if table is not None:
            heap = self._local_heap(self.address_at(table, 8))
            yield from self._symbols(self.address_at(table, 0), heap, None)
        info = group.body(LINK_INFO)
        if info is not None:
            offset = 2 + 8 * (self.integer(info, 1, 1) & 1)
            heap = self.address_at(info, offset)
            if heap != NOWHERE:
                yield from map(self._link, self.many_links(heap, self.address_at(info, offset + 8)))
        for kind, _, body in group.messages:
            if kind == LINK:
                yield self._link(body)

    def many_links(self, heap: int, tree: int) -> Iterator[bytes]:
        """The links of a large newer group, which are in a heap, and where each is, in a tree."""
        objects = FractalHeap(self, heap)
        for record in Tree2(self, tree).records():
            yield objects.object(record[4:])

    def _link(self, body: bytes) -> tuple[str, int | Link]:
        """One link of a newer group (IV.A.2.g)."""
        flags = self.integer(body, 1, 1)
        offset = 2
        kind = self.integer(body, offset, 1) if flags & 8 else 0
        offset += bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
        width = 1 << (flags & 3)
        size = self.integer(body, offset, width)
        name = body[offset + width : offset + width + size]
        target = self.address_at(body, offset + width + size) if kind == 0 else Link()
        return self._name(name), target

    def _name(self, name: bytes) -> str:
        try:
            return name.decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a name that is not text") from error

    def _local_heap(self, address: int) -> bytes:
        """The names of a group (III.D)."""
        head = self.bytes_at(address, 32)
        if head[:4] != b"HEAP":
            raise self.damaged(f"no names at {address}")
        return self.bytes_at(self.address_at(head, 24), self.integer(head, 8, 8))

    def _symbols(self, address: int, heap: bytes, level: int | None) -> Iterator[tuple[str, int | Link]]:
        """The entries below a node of the tree of a group (III.A.1, III.B, III.C)."""
        head = self.bytes_at(address, 8)
        if head[:4] == b"SNOD" and level in (0, None):
            entries = self.bytes_at(address + 8, 40 * self.integer(head, 6, 2))
            for offset in range(0, len(entries), 40):
                start, target, kind = struct.unpack_from("<QQI", entries, offset)
                end = heap.find(b"\0", start)
                if start > len(heap) or end < 0:
                    raise self.damaged("a name without an end")
                self.spend(1 + (end - start) // 256)
                yield self._name(heap[start:end]), Link() if kind == 2 else target
            return
        wanted = range(MAX_LEVELS) if level is None else (level - 1,)
        if head[:5] != b"TREE\0" or head[5] not in wanted:
            raise self.damaged(f"no members at {address}")
        count = self.integer(head, 6, 2)
        children = self.bytes_at(address + 24, 8 + 16 * count)
        for number in range(count):
            yield from self._symbols(self.address_at(children, 8 + 16 * number), heap, head[5])

    def shape(self, body: bytes) -> tuple[int, ...] | None:
        """A dataspace (IV.A.2.b)."""
        version, rank = self.integer(body, 0, 1), self.integer(body, 1, 1)
        if version not in (1, 2) or rank > MAX_RANK:
            raise self.damaged("an array of no shape")
        if version == 2 and self.integer(body, 3, 1) == 2:
            return None
        start = 8 if version == 1 else 4
        return tuple(self.integer(body, start + 8 * axis, 8) for axis in range(rank))

    def datatype(self, body: bytes) -> Datatype:
        """A datatype (IV.A.2.d)."""
        kind, size = self.integer(body, 0, 1) & 15, self.integer(body, 4, 4)
        bits = self.integer(body, 1, 3)
        name = CLASSES[kind] if kind < len(CLASSES) else "unknown"
        if kind == 1:
            offset, precision = self.integer(body, 8, 2), self.integer(body, 10, 2)
            parts = [self.integer(body, at, 1) for at in range(12, 16)]
            layout = (size, bits >> 8 & 255, offset, precision, *parts, self.integer(body, 16, 4))
            known = FLOATS.get(layout) if bits & 0x40 == 0 and bits >> 4 & 3 == 2 else None
            return Datatype(known or "another float", size, big_endian=bool(bits & 1))
        if kind == 3:
            return Datatype(name, size, is_text=True, padding=bits & 15)
        if kind == 9 and bits & 15 == 1 and size == 16:
            return Datatype("text", size, is_text=True, is_variable=True)
        if name == "opaque" and size == 2:
            # How h5py stores what NumPy itself does not know; Keras stores no other weights of two bytes.
            return Datatype(BFLOAT16, size)
        return Datatype(f"{name} of {size} bytes", size)

    def attribute(self, body: bytes, flags: int) -> tuple[str, Attribute]:
        """An attribute and its name (IV.A.2.m)."""
        version, shared = self.integer(body, 0, 1), self.integer(body, 1, 1)
        if version not in (1, 2, 3):
            raise self.damaged("an attribute of an unknown kind")
        if version > 1 and shared & 3:
            raise self.foreign("types that attributes share")
        sizes = [self.integer(body, at, 2) for at in (2, 4, 6)]
        offset = 8 + (version == 3)
        parts = []
        for size in sizes:
            parts.append(body[offset : offset + size])
            offset += -(-size // 8) * 8 if version == 1 else size
        name = self._name(parts[0].split(b"\0", 1)[0])
        return name, Attribute(self, self.datatype(parts[1]), self.shape(parts[2]), body[offset:])

    def from_heap(self, item: bytes) -> bytes:
        """Text of any length, from a heap (III.E, IV.B)."""
        length, address, index = struct.unpack("<IQI", item)
        if not length or address in (0, NOWHERE):
            return b""
        if address not in self._heaps:
            self._heaps[address] = dict(self._heap_objects(address))
        text = self._heaps[address].get(index)
        if text is None or length > len(text):
            raise self.damaged("text that is not there")
        self.spend(1 + length // 256)
        return text[:length]

    def _heap_objects(self, address: int) -> Iterator[tuple[int, bytes]]:
        head = self.bytes_at(address, 16)
        if head[:4] != b"GCOL":
            raise self.damaged(f"no text at {address}")
        data = self.bytes_at(address, self.integer(head, 8, 8))
        offset = 16
        while offset + 16 <= len(data):
            index, size = self.integer(data, offset, 2), self.integer(data, offset + 8, 8)
            if not index:
                return
            if offset + 16 + size > len(data):
                raise self.damaged("text that ends too late")
            self.spend(1)
            yield index, data[offset + 16 : offset + 16 + size]
            offset += 16 + -(-size // 8) * 8


def _bytes_for(limit: int) -> int:
    """How many bytes hold every number up to a limit."""
    return max(limit.bit_length() - 1, 0) // 8 + 1


class Tree2:
    """A tree of the newer kind, over the names of a group (III.A.2)."""

    def __init__(self, parser: Parser, address: int) -> None:
        self.parser = parser
        head = parser.bytes_at(address, 38)
        if head[:6] != b"BTHD\0\x05":
            raise parser.damaged(f"no names at {address}")
        self._node_size, self._record_size, self._depth = struct.unpack_from("<IHH", head, 6)
        self._root, self._count = struct.unpack_from("<QH", head, 16)
        if not 4 < self._record_size <= self._node_size or self._depth > MAX_LEVELS:
            raise parser.damaged("a tree of names that cannot be")

    def records(self) -> Iterator[bytes]:
        """What is in the tree."""
        yield from self._below(self._root, self._count, self._depth) if self._root != NOWHERE else ()

    def _below(self, address: int, count: int, depth: int) -> Iterator[bytes]:
        sizes = self._pointer_sizes(depth)
        node = self.parser.bytes_at(address, 6 + count * self._record_size + (count + 1) * sum(sizes))
        if node[:6] != (b"BTIN\0\x05" if depth else b"BTLF\0\x05"):
            raise self.parser.damaged(f"no names at {address}")
        end = 6 + count * self._record_size
        for start in range(6, end, self._record_size):
            self.parser.spend(1)
            yield node[start : start + self._record_size]
        for start in range(end, end + (count + 1) * sum(sizes), sum(sizes)) if sizes else ():
            below = self.parser.integer(node, start + 8, sizes[1])
            yield from self._below(self.parser.address_at(node, start), below, depth - 1)

    def _pointer_sizes(self, depth: int) -> tuple[int, ...]:
        """Of a node above others: bytes of an address, of a number of records, and of that of all below."""
        most = (self._node_size - 10) // self._record_size
        own, total = _bytes_for(most), most
        sizes: tuple[int, ...] = ()
        for level in range(1, depth + 1):
            sizes = (8, own, _bytes_for(total)) if level > 1 else (8, own)
            fit = (self._node_size - 10 - sum(sizes)) // (self._record_size + sum(sizes))
            total = (fit + 1) * total + fit
        return sizes


class FractalHeap:
    """A heap of small objects (III.G): blocks that double in size, listed in one block of addresses."""

    def __init__(self, parser: Parser, address: int) -> None:
        self.parser = parser
        head = parser.bytes_at(address, 142)
        if head[:5] != b"FRHP\0":
            raise parser.damaged(f"no heap at {address}")
        largest = parser.integer(head, 10, 4)
        self._width, self._start, self._most, bits = struct.unpack_from("<HQQH", head, 110)
        self._root, self._rows = struct.unpack_from("<QH", head, 132)
        if parser.integer(head, 7, 2):
            raise parser.foreign("filters over names")
        if not (self._width and self._start and self._most) or bits > 64:
            raise parser.damaged("a heap that cannot be")
        self._offset_size = -(-bits // 8)
        self._length_size = min(_bytes_for(self._most), _bytes_for(largest))

    def object(self, key: bytes) -> bytes:
        """The object that a tree has under a key."""
        if key[0] >> 4 & 3:
            raise FileError(f"{self.parser.owner}: has a name of thousands of letters")
        offset = self.parser.integer(key, 1, self._offset_size)
        length = self.parser.integer(key, 1 + self._offset_size, self._length_size)
        block, begin = self._block(offset)
        return self.parser.bytes_at(block + offset - begin, length)

    def _block(self, offset: int) -> tuple[int, int]:
        """Where the block with an offset is in the file, and with which offset it begins."""
        if not self._rows:
            return self._root, 0
        row = (offset // (self._width * self._start)).bit_length()
        size = self._start << max(row - 1, 0)
        begin = self._width * size if row else 0
        if row >= self._rows or size > self._most:
            raise FileError(f"{self.parser.owner}: has more names than any model's weights")
        column = (offset - begin) // size
        entry = self._root + 13 + self._offset_size + 8 * (row * self._width + column)
        return self.parser.address_at(self.parser.bytes_at(entry, 8), 0), begin + column * size
