"""A folder of image files, one folder for each class: its files, classes and splits."""

import dataclasses
import functools
import os
import pathlib
import zlib
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from kd_jax.config.errors import UserError, first_line, suggest
from kd_jax.config.ordinary_files import open_ordinary, size_of, user_path

NOT_READ = ('EPS', 'PDF')  # to read EPS, Pillow runs a program (Ghostscript); PDF it only writes
MAX_PIXELS = 2**26  # 192 MB in memory; a file of some kilobytes can claim that many
MAX_BYTES = 8 * MAX_PIXELS
READ_WHOLE = 2**30  # bytes of a split that are read for its checksum, in seconds; ImageNet would take minutes to hours


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFiles(Sequence[Any]):
    """The files of a split with their classes; a file is read and decoded when it is indexed.

    Attributes:
      files: paths of the files.
      labels: their classes, [files].
      root: the folder that holds them; the checksum depends on their paths below it alone.
    """

    files: Sequence[str]
    labels: np.ndarray
    root: str

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: Any) -> Any:
        """Returns the image [height, width, 3] uint8 and the label of a file.

        Raises:
          OSError: the file is missing, damaged, too large, or has more than 8 bits for each channel.
        """
        from PIL import Image

        Image.init()

        path = self.files[number]
        try:
            formats = [name for name in Image.OPEN if name not in NOT_READ]
            with open_ordinary(path) as file, Image.open(_bounded(file), formats=formats) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise OSError(f'it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}')
                if image.mode[0] in 'IF':
                    raise OSError(f'its pixels have more than 8 bits (mode {image.mode})')
                return {'image': np.asarray(image.convert('RGB')), 'label': self.labels[number]}
        except Exception as error:  # The decoder of a damaged file can raise anything.
            raise OSError(f'{path}: {first_line(error)}') from error

    def take(self, chosen: np.ndarray) -> 'ImageFiles':
        """Returns the files where `chosen`, booleans [files], is True."""
        return ImageFiles([self.files[i] for i in np.flatnonzero(chosen).tolist()], self.labels[chosen], self.root)

    @functools.cached_property
    def checksum(self) -> str:
        """A CRC-32 of the path and size of each file, and of its bytes if the files have `READ_WHOLE` bytes or less.

        In a larger folder, another image of the same size is not noticed. Times of modification would tell it, but
        they change when a folder is copied to another machine, and a run could not be resumed there.

        Raises:
          UserError: a file is missing or cannot be read.
        """
        found, path = 0, self.root
        try:
            sizes = [os.stat(path := file).st_size for file in self.files]
            whole = sum(sizes) <= READ_WHOLE
            for path, size in zip(self.files, sizes, strict=True):
                found = zlib.crc32(os.fsencode(f'{path.removeprefix(self.root)} {size}'), found)
                if whole:
                    with open_ordinary(path) as file:
                        found = zlib.crc32(file.read(size), found)
        except OSError as error:
            raise UserError(f'{path} cannot be read ({first_line(error)}).') from error
        return f'crc32:{found:08x}'


SPLITS = {'train': 'train', 'test': 'test', 'val': 'valid', 'valid': 'valid'}  # by the name of the folder


def _bounded(file: IO[bytes]) -> IO[bytes]:
    """The file itself; Pillow reads some formats whole before it knows the number of pixels."""
    if (size := size_of(file)) > MAX_BYTES:
        raise OSError(f'it has {size:,} bytes, more than {MAX_BYTES:,}')
    return file


def find_splits(path: str) -> tuple[dict[str, ImageFiles], list[str]]:
    """Finds the image files of every split of a folder, and the classes, sorted by name.

    The splits are the subfolders train/, test/ and valid/ (or val/), with one folder for each class in each of them.
    Without train/ the class folders are those of the folder itself, and all files are of the split 'train'.

    Raises:
      UserError: there is no such folder, a split or a class has no image, a split has a class that train lacks, an
        image lies beside the folders of the classes, or a folder beside train/ is no split.
    """
    root = user_path(path)
    if not root.is_dir():
        raise UserError(f'data.path={path!r} is not a folder.')
    roots = {'train': root}
    if (root / 'train').is_dir():
        roots = _split_folders(root)
    classes = [folder.name for folder in _folders(roots['train'])]
    splits = {}
    for split, folder in roots.items():
        for name in (one.name for one in _folders(folder) if one.name not in classes):
            raise UserError(
                f'data.path={path!r}: {folder.name}/ has the class {name!r}, which train/ does not have. '
                f'{suggest(name, classes)}'
            )
        if loose := _images(folder, '*'):
            raise UserError(
                f'data.path={path!r}: {loose[0]} lies beside the folders of the classes; move it into the '
                'folder of its class.'
            )
        files = {name: _images(folder / name, '**/*') for name in classes}
        empty = [name for name, own in files.items() if not own]
        if not any(files.values()) or (split == 'train' and empty):
            where = folder / empty[0] if classes else folder
            raise UserError(
                f'data.path={path!r}: {where} holds no images; each class is a folder of image files such as '
                f'{roots["train"]}/cats/1.jpg.'
            )
        labels = np.repeat(np.arange(len(classes), dtype=np.int32), [len(own) for own in files.values()])
        splits[split] = ImageFiles([file for own in files.values() for file in own], labels, str(root))
    return splits, classes


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    found: dict[str, pathlib.Path] = {}
    for folder in _folders(root):
        split = SPLITS.get(folder.name)
        if split is None or split in found:
            why = (
                f'is no split. {suggest(folder.name, SPLITS)}'
                if split is None
                else f'is a second {found[split].name}/.'
            )
            raise UserError(f'data.path={str(root)!r}: the folder {folder.name}/ beside train/ {why}')
        found[split] = folder
    return found


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith('.'))


def _images(folder: pathlib.Path, pattern: str) -> list[str]:
    """The image files of a folder that match a pattern, sorted; files that Pillow cannot read are left out."""
    from PIL import Image

    known = {suffix for suffix, name in Image.registered_extensions().items() if name not in NOT_READ}
    found = (one for one in folder.glob(pattern) if one.suffix.lower() in known and not one.name.startswith('.'))
    return sorted(str(one) for one in found if one.is_file())
