"""Files that are missing, damaged or malicious."""

import gzip
import io
import os
import pickle

import numpy as np
import pytest
from dataset_files import (
    cifar_binary,
    cifar_python,
    compressed,
    idx_bytes,
    mnist_files,
    pixels,
    python2_pickle,
    write_archive,
    write_folder,
    write_svhn,
)
from hypothesis import given
from hypothesis import strategies as st

import tangency as tg
from tangency.datasets.unpickle import load_arrays


class Malicious:
    """Runs a command when an ordinary unpickler loads it."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        function, *arguments = self.call
        return function, tuple(arguments)


def attacks(path):
    command = f"touch {path}"
    yield "system", pickle.dumps({b"data": Malicious(os.system, command)})
    yield "eval", pickle.dumps([Malicious(eval, f"open({str(path)!r}, 'w')")])
    yield "getattr", pickle.dumps(Malicious(getattr, b"", "hex"), protocol=5)
    hidden = Malicious(os.system, command)
    yield "object array", pickle.dumps(np.array([hidden, 1], dtype=object))
    yield "stack", b"cposix\nsystem\n(X" + _counted(command) + b"tR."
    # Protocol 4 reaches attributes of what a name stands for.
    walk = b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93."
    yield "attribute", walk
    yield "extension", b"\x80\x02\x82\x01."
    yield "persistent", b"\x80\x02Pelsewhere\n."


def _counted(text):
    return len(text).to_bytes(4, "little") + text.encode()


@pytest.mark.parametrize("index", range(8))
def test_a_malicious_pickle_is_refused_and_does_nothing(index, tmp_path):
    mark = tmp_path / "mark"
    name, content = list(attacks(mark))[index]
    files = cifar_python("cifar10") | {"data_batch_3": content}
    with pytest.raises(ValueError, match="data_batch_3") as error:
        tg.cifar10(write_folder(tmp_path / "c", files))
    assert not mark.exists(), name
    # An extension that nobody registered is no name, but an error all the same.
    if name != "extension":
        assert isinstance(error.value, tg.UnsafePickleError), error.value
        assert "refused" in str(error.value)


def test_the_attacks_do_work_on_an_ordinary_unpickler(tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(dict(attacks(mark))["stack"])
    assert mark.exists()


def test_a_pickle_cannot_change_what_its_names_stand_for():
    # BUILD with a pair sets attributes, here of what stands for numpy.dtype.
    content = b"cnumpy\ndtype\n(N}X\x04\x00\x00\x00realX\x01\x00\x00\x00xstb."
    with pytest.raises(ValueError):
        load_arrays(content, "file")
    good = pickle.dumps(np.arange(3))
    assert load_arrays(good, "file").tolist() == [0, 1, 2]


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(PLAIN, st.integers(3, 5))
def test_plain_values_are_read_as_they_were_written(value, protocol):
    assert load_arrays(pickle.dumps(value, protocol), "file") == value


@given(
    st.sampled_from(["u1", "<i8", ">f4", "f8", "bool", ">u2"]),
    st.sampled_from([(), (0,), (3,), (2, 3), (2, 1, 2)]),
    st.integers(0, 5),
    st.booleans(),
)
def test_arrays_are_read_as_they_were_written(dtype, shape, protocol, columns):
    array = np.random.default_rng(0).integers(0, 9, shape).astype(dtype)
    array = np.asfortranarray(array) if columns else array
    found = load_arrays(pickle.dumps([array, array.sum()], protocol), "file")
    assert found[0].dtype == array.dtype and found[0].shape == array.shape
    np.testing.assert_array_equal(found[0], array)
    assert found[1] == array.sum()


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_pickle_is_an_error_or_data(at, byte):
    content = bytearray(python2_pickle({b"data": pixels(2, 12), b"labels": [1, 2]}))
    content[at % len(content)] = byte
    try:
        load_arrays(bytes(content), "file")
    except ValueError as error:
        assert "file" in str(error)


def cut(content):
    return content[: len(content) // 2]


def faults(folder):
    """Name, call, error and what its message must say."""
    ten, binary = cifar_python("cifar10"), cifar_binary("cifar10")
    digits, _ = mnist_files()
    calls = {
        "no folder": (tg.cifar10, folder / "nowhere", "no file or folder"),
        "no batch": (tg.cifar10, without(folder / "a", ten, "data_batch_2"), ""),
        "no binary": (tg.cifar10, without(folder / "b", binary, "test_batch.bin"), ""),
        "no idx": (tg.mnist, without(folder / "c", digits, "t10k-images-idx3-ubyte")),
        "nothing": (tg.fashion_mnist, write_folder(folder / "d", {}), "fashion-mnist"),
        "no mat": (tg.svhn, write_folder(folder / "e", {}), "train_32x32.mat"),
        "no npz": (tg.load_distilled, folder / "none.npz", "none.npz"),
    }
    wanted = {
        "no batch": "data_batch_2.*nothing is downloaded.*toronto.edu",
        "no binary": "test_batch.bin.*toronto.edu",
        "no idx": "t10k-images-idx3-ubyte.*mnist",
    }
    for name, (load, path, *match) in calls.items():
        yield name, load, path, FileNotFoundError, wanted.get(name, *match)


def without(folder, files, name):
    return write_folder(folder, {k: v for k, v in files.items() if k != name})


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path):
    for name, load, path, kind, match in faults(tmp_path):
        with pytest.raises(kind, match=f"(?s){match}"):
            load(path)
            pytest.fail(name)


def damaged(folder):
    """Name, call, path and what the error must say."""
    ten, binary, hundred = (
        cifar_python("cifar10"),
        cifar_binary("cifar10"),
        cifar_python("cifar100"),
    )
    digits, (x, *_) = mnist_files()
    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"

    def put(name, files, **changed):
        files = files | {k.replace("__", "-"): v for k, v in changed.items()}
        return write_folder(folder / name, files)

    rows = pixels(3, 3072)
    yield tg.cifar10, put("cut", ten, data_batch_1=cut(ten["data_batch_1"])), "pickle"
    yield tg.cifar10, put("l", ten, test_batch=pickle.dumps([1])), "expected a dict"
    other = pickle.dumps({"data": rows, "labels": [0, 1, 10]})
    yield tg.cifar10, put("range", ten, test_batch=other), "labels out of range"
    other = pickle.dumps({"data": rows, "labels": [0, 1]})
    yield tg.cifar10, put("count", ten, test_batch=other), "2 labels"
    other = pickle.dumps({"data": rows.astype(float), "labels": [0, 1, 2]})
    yield tg.cifar10, put("dtype", ten, test_batch=other), "float64"
    yield tg.cifar10, put("key", ten, test_batch=hundred["test"]), "b'labels'"
    path = folder / "records"
    write_folder(path, binary | {"data_batch_1.bin": b"123"})
    yield tg.cifar10, path, "multiple of 3073"
    path = write_archive(folder / "c.tar.gz", "c", ten)
    path.write_bytes(cut(path.read_bytes()))
    yield tg.cifar10, path, "not a whole .tar.gz"
    yield tg.mnist, put("magic", digits, **{images: b"PK" + bytes(9)}), "50 4b 00"
    yield tg.mnist, put("short", digits, **{images: cut(idx_bytes(x))}), "cut off"
    yield tg.mnist, put("empty", digits, **{images: b""}), "expected 00 00 08"
    yield tg.mnist, put("rows", digits, **{labels: idx_bytes(x[:3, 0, 0])}), r"\(3,\)"
    gz = compressed(digits)
    gz[f"{images}.gz"] = cut(gz[f"{images}.gz"])
    yield tg.mnist, write_folder(folder / "gz", gz), "damaged .gz"
    write_svhn(folder)
    mat = (folder / "test_32x32.mat").read_bytes()
    (folder / "test_32x32.mat").write_bytes(cut(mat))
    yield tg.svhn, folder, "test_32x32.mat cannot be read"
    np.savez(folder / "few.npz", images=np.ones((2, 4)))
    yield tg.load_distilled, folder / "few.npz", "expected images, labels"
    np.savez(folder / "flat.npz", images=np.ones((2, 4)), labels=np.ones((2, 3)))
    yield tg.load_distilled, folder / "flat.npz", r"\[n, H, W, channels\]"
    objects = np.array([None, 1], dtype=object)
    np.savez(folder / "object.npz", images=objects, labels=np.ones(2))
    yield tg.load_distilled, folder / "object.npz", "refused"
    (folder / "text.npz").write_text("not a zip")
    yield tg.load_distilled, folder / "text.npz", "cannot be read as .npz"


def test_a_damaged_file_is_named(tmp_path):
    for load, path, match in damaged(tmp_path):
        with pytest.raises(ValueError, match=match):
            load(path)


def bad_names():
    yield "unknown", "imagenet:x", "no data set 'imagenet:x'"
    yield "no place", "cifar10", "expected 'cifar10:PATH'"
    yield "digits", "digits:here", "no data set"


@pytest.mark.parametrize(
    ("address", "match"), [pytest.param(*c[1:], id=c[0]) for c in bad_names()]
)
def test_an_unknown_data_set_is_named(address, match):
    with pytest.raises(ValueError, match=match):
        tg.load_images(address)


def test_images_and_labels_must_fit():
    x = np.zeros((3, 2, 2, 1), np.float32)
    with pytest.raises(ValueError, match="one image for each of 2 labels"):
        tg.LabelledImages(x, np.array([0, 1]), ("a", "b"))
    with pytest.raises(ValueError, match="labels holds 2, expected at most 1"):
        tg.LabelledImages(x, np.array([0, 1, 2]), ("a", "b"))
    with pytest.raises(TypeError, match="address is 3"):
        tg.load_images(3)


def test_gzip_and_tar_are_read_from_memory_alone(tmp_path):
    # A compressed idx file and an archive leave nothing behind but themselves.
    files = compressed(mnist_files()[0])
    folder = write_folder(tmp_path / "m", files)
    tg.mnist(folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted(files)
    assert gzip.open(io.BytesIO(files["train-labels-idx1-ubyte.gz"])).read(2) == b"\0\0"
