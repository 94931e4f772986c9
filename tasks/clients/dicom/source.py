"""The bytes of a file, read through a small window: what is skipped costs nothing, and no file is held in memory."""

import os
import stat

from tasks.clients.dicom.refusal import RefusalError

WINDOW = 64 * 1024


class Source:
    """An open regular file and its size. Reading beyond its end gives what there is."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self._base, self._window = 0, os.pread(fd, WINDOW, 0)

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes from `start`, fewer at the end of the file."""
        offset = start - self._base
        if offset < 0 or offset + length > len(self._window):
            if length > WINDOW:
                return self._whole(start, length)
            self._base, self._window, offset = start, os.pread(self.fd, WINDOW, start), 0
        return self._window[offset : offset + length]

    def peek(self, start: int, length: int) -> bytes:
        """The same for a few bytes amid many that are skipped: the window stays where it is."""
        offset = start - self._base
        if offset >= 0 and offset + length <= len(self._window):
            return self._window[offset : offset + length]
        return os.pread(self.fd, length, start)

    def _whole(self, start: int, length: int) -> bytes:
        length = max(0, min(length, self.size - start))
        pieces = []
        while length > 0 and (piece := os.pread(self.fd, length, start)):
            pieces.append(piece)
            start, length = start + len(piece), length - len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)


def open_source(path: str) -> Source:
    """The file at `path`; refused where it is a folder, pipe or device, on which reading could wait for ever."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise RefusalError("not_an_image", "it is not a regular file")
    return Source(fd)
