"""What a kill can do to the search index of a Chroma, done for certain: some items are
still there, with their vectors, and no search finds them any more."""

import pathlib
import struct

# version; of each element: its size, where its label and its data begin; its links come first
HEADER = struct.Struct("<i6Q")


class Index:
    """The files of an index that was saved (hnswlib); its Chroma must not be running."""

    def __init__(self, directory):
        self.level0 = directory / "data_level0.bin"
        _, _, _, self.count, self.size, self.label, self.data = HEADER.unpack_from((directory / "header.bin").read_bytes())
        self.bytes = bytearray(self.level0.read_bytes())
        self.upper = (directory / "link_lists.bin").read_bytes()

    def only_below(self):
        """The elements that have no links above level 0."""
        at, found = 0, []
        for element in range(self.count):
            (length,) = struct.unpack_from("<I", self.upper, at)
            at += 4 + length
            if length == 0:
                found.append(element)
        return found

    def forget(self, elements):
        """Nobody links to them."""
        for element in range(self.count):
            at = element * self.size
            (n,) = struct.unpack_from("<H", self.bytes, at)
            links = struct.unpack_from(f"<{n}I", self.bytes, at + 4)
            kept = [link for link in links if link not in elements]
            struct.pack_into("<H", self.bytes, at, len(kept))
            struct.pack_into(f"<{len(kept)}I", self.bytes, at + 4, *kept)

    def save(self):
        self.level0.write_bytes(self.bytes)


def lose_vectors(data, n):
    """So many of the items of the largest index below that directory."""
    directory = max(
        (file.parent for file in pathlib.Path(data).rglob("header.bin")),
        key=lambda directory: (directory / "data_level0.bin").stat().st_size,
    )
    index = Index(directory)
    candidates = index.only_below()
    assert len(candidates) > 2 * n, f"only {len(candidates)} of {index.count} are saved, and on the lowest level"
    index.forget(set(candidates[:: len(candidates) // n][:n]))
    index.save()
