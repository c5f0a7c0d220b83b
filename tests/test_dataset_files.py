"""Every format of the data sets, through small files written as the authors do."""

import numpy as np
import pytest
from dataset_files import (
    cifar_batches,
    cifar_binary,
    cifar_python,
    compressed,
    mnist_files,
    modern_pickle,
    pixels,
    write_archive,
    write_folder,
    write_svhn,
)

import tangency as tg

CIFAR = {"cifar10": tg.cifar10, "cifar100": tg.cifar100}
FOLDERS = {
    ("cifar10", "python"): "cifar-10-batches-py",
    ("cifar10", "binary"): "cifar-10-batches-bin",
    ("cifar100", "python"): "cifar-100-python",
    ("cifar100", "binary"): "cifar-100-binary",
}


def assert_is_cifar(name, found):
    """Compare with the rows of the files: 1024 red, 1024 green, 1024 blue bytes."""
    batches = list(cifar_batches(name).values())
    for part, expected in zip(found, (batches[:-1], batches[-1:]), strict=True):
        rows = np.concatenate([rows for rows, _ in expected])
        labels = np.concatenate([labels for _, labels in expected])
        assert part.images.dtype == np.float32
        assert part.images.shape == (len(rows), 32, 32, 3)
        np.testing.assert_array_equal(part.labels, labels)
        colours = np.split(rows.reshape(len(rows), 3072), 3, axis=1)
        for c, plane in enumerate(colours):
            got = np.rint(part.images[..., c].reshape(len(rows), -1) * 255)
            np.testing.assert_array_equal(got, plane)


@pytest.mark.parametrize("name", CIFAR)
@pytest.mark.parametrize("version", ["python", "binary"])
@pytest.mark.parametrize("where", ["folder", "archive", "above", "archive above"])
def test_cifar_round_trips(name, version, where, tmp_path):
    files = (cifar_python if version == "python" else cifar_binary)(name)
    folder = FOLDERS[name, version]
    if "archive" in where:
        stem = f"{name.replace('cifar', 'cifar-')}-{version}.tar.gz"
        path = write_archive(tmp_path / stem, folder, files)
    else:
        path = write_folder(tmp_path / folder, files)
    found = CIFAR[name](tmp_path if "above" in where else path)
    assert_is_cifar(name, found)
    separator = " " if version == "python" else "-"
    assert found[0].names[3] == f"class{separator}3"
    assert found[0].classes == {"cifar10": 10, "cifar100": 100}[name]


def test_an_archive_is_not_unpacked(tmp_path):
    write_archive(tmp_path / "c.tar.gz", "cifar-10", cifar_python("cifar10"))
    tg.cifar10(tmp_path / "c.tar.gz")
    assert [p.name for p in tmp_path.iterdir()] == ["c.tar.gz"]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_cifar_pickled_by_todays_numpy_is_read(protocol, tmp_path):
    folder = write_folder(
        tmp_path / "c", cifar_python("cifar10", modern_pickle(protocol))
    )
    assert_is_cifar("cifar10", tg.cifar10(folder))


@pytest.mark.parametrize("form", ["plain", "gz", "dots", "keras", "keras in a folder"])
def test_mnist_round_trips(form, tmp_path):
    files, arrays = mnist_files()
    if form.startswith("keras"):
        path = tmp_path / "mnist.npz"
        keys = ("x_train", "y_train", "x_test", "y_test")
        np.savez(path, **dict(zip(keys, arrays, strict=True)))
        path = tmp_path if "folder" in form else path
    else:
        if form == "gz":
            files = compressed(files)
        if form == "dots":
            files = {k.replace("-idx", ".idx"): v for k, v in files.items()}
        path = write_folder(tmp_path / "m", files)
    for load in (tg.mnist, tg.fashion_mnist):
        if form == "keras in a folder" and load is tg.fashion_mnist:
            continue
        parts = load(path)
        for part, x, y in zip(parts, arrays[::2], arrays[1::2], strict=True):
            assert part.images.shape == (len(x), 28, 28, 1)
            np.testing.assert_array_equal(np.rint(part.images[..., 0] * 255), x)
            np.testing.assert_array_equal(part.labels, y)


def test_fashion_has_names_of_clothes(tmp_path):
    path = write_folder(tmp_path / "f", mnist_files()[0])
    assert tg.fashion_mnist(path)[0].names[9] == "ankle boot"
    assert tg.mnist(path)[0].names[9] == "9"


def test_svhn_round_trips_with_label_10_for_the_digit_0(tmp_path):
    written = write_svhn(tmp_path)
    for part, (x, y) in zip(tg.svhn(tmp_path), written.values(), strict=True):
        np.testing.assert_array_equal(np.rint(part.images * 255), np.moveaxis(x, -1, 0))
        np.testing.assert_array_equal(part.labels, y[:, 0] % 10)
        assert part.labels[9] == 0 and y[9, 0] == 10


def test_any_set_in_an_npz_of_keras_is_read(tmp_path):
    x = pixels(6, 5, 7, 3) / 255
    y = np.array([[0], [1], [2]] * 2)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    train, test = tg.load_images(f"npz:{tmp_path / 'own.npz'}")
    np.testing.assert_array_equal(train.images, x.astype(np.float32))
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2] and len(test) == 3


def test_kip_and_rfad_files_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(4, 6, 5, 3)), rng.normal(size=(4, 10))
    kip, rfad = tmp_path / "ConvNet_ssize10_zca_nol_noaug_ckpt1000.npz", "rfad.npz"
    np.savez(kip, images=images, labels=labels)
    first = images.transpose(0, 3, 1, 2).astype(np.float32)
    np.savez(tmp_path / rfad, images=first, labels=labels, k=np.float32(0.5))
    found = tg.load_distilled(kip)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.k is None
    found = tg.load_distilled(tmp_path / rfad)
    np.testing.assert_array_equal(found.images, images.astype(np.float32))
    assert found.k == np.float32(0.5)
    tg.save_distilled(tmp_path / "again.npz", images, labels)
    np.testing.assert_array_equal(
        tg.load_distilled(tmp_path / "again.npz").images, images
    )


def test_data_sets_are_loaded_by_name_and_place(tmp_path):
    write_folder(tmp_path / "m", mnist_files()[0])
    assert len(tg.load_images(f"mnist:{tmp_path / 'm'}")[0]) == 20
    assert len(tg.load_images(f"Fashion-MNIST:{tmp_path / 'm'}")[1]) == 10
    assert len(tg.load_images("digits")[1]) == 500


def test_a_split_holds_out_the_same_share_of_every_class():
    train, _ = tg.digits()
    rest, held_out = train.split(100, seed=3)
    assert len(rest) == 1197 and len(held_out) == 100
    assert set(np.bincount(held_out.labels)) <= {9, 10, 11}
    again = train.split(100, seed=3)[1]
    np.testing.assert_array_equal(held_out.images, again.images)
