"""Small files in the true formats of the data sets."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import scipy.io

CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100}


def pixels(n, *shape, seed=0):
    """Random bytes ``[n, *shape]``."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def python2_pickle(batch):
    """A dict of arrays, lists and bytes as Python 2 pickled it, in protocol 2.

    Its texts are bytes here, and its arrays name numpy.core.
    """
    text = b""
    for key, value in batch.items():
        text += short_string(key) + python2_value(value)
    return b"\x80\x02}(" + text + b"u."


def short_string(content):
    return b"U" + bytes([len(content)]) + content


def python2_value(value):
    if isinstance(value, bytes):
        return short_string(value)
    if isinstance(value, list):
        return b"](" + b"".join(map(python2_value, value)) + b"e"
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    content = value.tobytes()
    dtype = b"cnumpy\ndtype\n(" + short_string(b"u1") + b"K\x00K\x01tR"
    dtype += b"(K\x03" + short_string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    dtype += b"K\x00tb"
    shape = b"".join(map(python2_value, value.shape))
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t"
        + short_string(b"b")
        + b"tR(K\x01("
        + shape
        + b"t"
        + dtype
        + b"\x89T"
        + len(content).to_bytes(4, "little")
        + content
        + b"tb"
    )


def cifar_batches(name, per_file=12):
    """Rows and labels of every file of CIFAR-10 or CIFAR-100."""
    train = [f"data_batch_{i}" for i in range(1, 6)] if name == "cifar10" else ["train"]
    test = ["test_batch" if name == "cifar10" else "test"]
    rng = np.random.default_rng(1)
    return {
        file: (
            pixels(per_file, 3072, seed=i),
            rng.integers(0, CIFAR_CLASSES[name], per_file).tolist(),
        )
        for i, file in enumerate([*train, *test])
    }


def cifar_python(name, dump=python2_pickle):
    """Contents of the files of the Python version, by name."""
    ten = name == "cifar10"
    names = [b"class %d" % i for i in range(CIFAR_CLASSES[name])]
    meta = {b"label_names" if ten else b"fine_label_names": names}
    files = {"batches.meta" if ten else "meta": dump(meta)}
    for file, (rows, labels) in cifar_batches(name).items():
        batch = {b"batch_label": b"batch 1 of 5", b"data": rows}
        if ten:
            batch[b"labels"] = labels
        else:
            batch |= {b"coarse_labels": [0] * len(rows), b"fine_labels": labels}
        files[file] = dump(batch)
    return files


def cifar_binary(name):
    """Contents of the files of the binary version, by name."""
    skip = b"" if name == "cifar10" else b"\x07"
    files = {
        f"{file}.bin": b"".join(
            skip + bytes([label]) + row.tobytes()
            for row, label in zip(rows, labels, strict=True)
        )
        for file, (rows, labels) in cifar_batches(name).items()
    }
    text = "".join(f"class-{i}\n" for i in range(CIFAR_CLASSES[name])).encode()
    meta = "batches.meta.txt" if name == "cifar10" else "fine_label_names.txt"
    return files | {meta: text}


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path, folder, files):
    """A .tar.gz with everything in a folder, as the authors' archives have it."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def idx_bytes(array):
    """An idx file of bytes."""
    head = bytes([0, 0, 8, array.ndim])
    return head + np.asarray(array.shape, ">u4").tobytes() + array.tobytes()


def mnist_files(train=20, test=10):
    """The four idx files, by name, and their arrays in the same order."""
    arrays = []
    for i, n in enumerate((train, test)):
        arrays += [pixels(n, 28, 28, seed=i), (np.arange(n) % 10).astype(np.uint8)]
    names = [
        f"{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ]
    return dict(zip(names, map(idx_bytes, arrays), strict=True)), arrays


def compressed(files):
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


def write_svhn(folder, n=20):
    """Both .mat files; returns their pixels [32, 32, 3, n] and labels 1, ..., 10."""
    parts = {}
    for i, part in enumerate(("train", "test")):
        x = pixels(32, 32, 3, n, seed=i)
        y = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        path = folder / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": x, "y": y}, do_compression=True)
        parts[part] = x, y
    return parts


def modern_pickle(protocol):
    """How numpy of today pickles, in one protocol."""
    return lambda value: pickle.dumps(value, protocol=protocol)
