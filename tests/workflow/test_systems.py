"""A system is a variant like any other: its stages write the files of one, of the images that networks see; what
was fitted on one network is not asked about another; a mean is that of networks that shared no image; and what is
timed of one is what it says."""

import argparse
import json

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
import torch

from detector.core import parquet
from detector.core.errors import DetectorError
from detector.core.files import read_json, sha256, write_json
from detector.data.records import file_of, number_of, of_frame
from detector.imaging.looks import Looks
from detector.imaging.normalisation import IMAGENET, Normalisation
from detector.models import checkpoints, classifiers, devices, features, inference, latency, networks, perturbed
from detector.models.dataset import Images
from detector.models.inference import PREDICTION_COLUMNS
from detector.stats.predictions import ONE_LOOK, by_video
from detector.training import bilstm
from detector.training import classifiers as fitting
from detector.training.fit import fit
from tests.support.samples import load_script
from tests.support.workspace import TINY, Workspace

SIZE = 32
SPLITS = {"train": 24, "valid": 12, "test": 10}


@pytest.fixture(scope="module")
def images():
    """Images of two sources, of which the real ones have less noise."""
    rng, rows = np.random.default_rng(0), []
    for split, count in SPLITS.items():
        rows += [(split, source, i % 2) for source in ("a", "b") for i in range(count)]
    table = pd.DataFrame(rows, columns=["split", "source", "label"]).assign(generator="", group="", frame=np.nan)
    table["row"] = table.groupby("source").cumcount()
    table["path"] = table["source"] + table["row"].map(" {:03d}.png".format)
    table["sha256"] = table["path"]
    table = table.sample(frac=1, random_state=0)
    stores = {}
    for source, own in table.groupby("source"):
        label = own.sort_values("row")["label"].to_numpy()
        spread = np.where(label == 1, 20, 60)[:, None, None, None]
        pixels = 128 + spread * rng.uniform(-1, 1, (len(own), SIZE, SIZE, 3))
        stores[source] = pixels.astype(np.uint8)
    return Images(table, stores, dict.fromkeys(stores, {"size": SIZE, "preprocess": "resize"}))


@pytest.fixture
def seen(images, monkeypatch):
    """The images in the place of packed ones; a list of the normalisations under which they were opened."""
    found = []

    def opened(manifest, packs, normalisation=IMAGENET):
        found.append(normalisation)
        return Images(images.table, images.stores, images.preprocessing, normalisation)

    monkeypatch.setattr(Images, "open", opened)
    return found


@pytest.fixture
def study(tmp_path, seen):
    """Fit a system and predict with it: its folder. Also the weights of a network, as `network`."""
    scripts = [load_script(name) for name in ("training/classifier", "inference/predict_classifier")]
    network = tmp_path / "resnet10/seed0/baseline/model.safetensors"
    checkpoints.save_weights(network, networks.build("resnet10", 1, SIZE).state_dict())
    write_json(network.with_name("meta.json"), {"normalisation": {"mean": [0.5] * 3, "std": [0.25] * 3}})

    def ran(how, seed=0, start=None, threads=1, only=scripts, looks=None, perturbations=None):
        folder = tmp_path / f"waves/seed{seed}/baseline"
        runtime = {"device": "cpu", "evaluation_batch": 8}
        given = {"manifest": None, "packs": None, "threads": threads, "network": network, "looks": looks}
        given |= {
            "model": folder / "model.safetensors",
            "meta": folder / "meta.json",
            "folder": folder / "predictions",
        }
        (folder / "predictions").mkdir(parents=True, exist_ok=True)
        config = json.dumps({"system": how, "start": start, "runtime": runtime})
        given |= {"config": config, "runtime": json.dumps(runtime), "system": "waves", "seed": seed}
        for script in only:
            script.main(argparse.Namespace(**given))
        if perturbations is not None:
            probed(folder, [given["model"]], how, looks, network, perturbations)
        return folder

    ran.network, ran.predict = network, scripts[1:]
    return ran


def probed(folder, models, how, looks, network=None, perturbations=None, most=100):
    """What a system whose predictions lie in `folder` says of perturbed images: parquet beside it, and read."""
    config = {"system": how, "perturbations": perturbations, "images": most, "seed": 0}
    config |= {"looks": looks and looks.record(), "runtime": {"device": "cpu", "evaluation_batch": 8}}
    given = {"manifest": None, "packs": None, "threads": 1, "models": models, "network": network}
    given |= {"config": json.dumps(config), "predictions": folder / "predictions"}
    given["perturbed"] = folder.with_name("perturbed.parquet")
    load_script("inference/probe_system").main(argparse.Namespace(**given))
    return parquet.read(given["perturbed"])


# The first changes no pixel.
PERTURBATIONS = {"as-it-is": [{"quarter_turns": 1}, {"quarter_turns": 3}], "grain": [{"noise": 30}]}


def check_perturbed(found, folder):
    """Assert that a table of perturbed images says of unchanged ones what was predicted, and not so of others."""
    assert list(found["branch"].unique()) == ["baseline"]
    clean = pd.concat([parquet.read(folder / f"predictions/{name}.parquet") for name in ("a", "b")])
    clean = clean.set_index(["source", "path"])["logit"]
    expected = clean.loc[pd.MultiIndex.from_frame(found[["source", "path"]])].to_numpy()
    assert found["clean"].tolist() == expected.tolist()
    assert found["as-it-is"].to_numpy() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert abs(found["grain"] - found["clean"]).min() > 1e-3, "the same would prove nothing"
    assert np.ptp(found["clean"]) > 1e-2


SPECTRUM = {"features": "spectrum", "classifier": "logistic"}


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_a_variant_s_files_are_there_and_it_has_learned(study, images, classifier):
    folder = study({"features": "spectrum", "classifier": classifier})
    names = {"valid.parquet", "a.parquet", "b.parquet", "provenance.json"}
    assert {path.name for path in (folder / "predictions").iterdir()} == names
    for name, split in (("valid", "valid"), ("a", "test"), ("b", "test")):
        table, rows = parquet.read(folder / f"predictions/{name}.parquet"), images.part(split)
        rows = rows if name == "valid" else rows[rows["source"] == name]
        assert tuple(table) == PREDICTION_COLUMNS
        assert table["path"].tolist() == rows["path"].tolist(), "in the order of the manifest"
        assert table["logit"].dtype == np.float32
        assert ((table["logit"] > 0) == (table["label"] == 1)).all(), "above 0 is real"
    meta = read_json(folder / "meta.json")
    assert (meta["arch"], meta["seed"], meta["branch"]) == ("waves", 0, "baseline")
    assert meta["valid_accuracy"] == 1
    assert meta["features"] == SIZE // 2
    assert meta["train_images"] == 48
    arrays = checkpoints.load_weights(folder / "model.safetensors")
    assert meta["total_parameters"] == classifiers.size({name: t.numpy() for name, t in arrays.items()})


def test_a_classifier_s_logit_is_the_mean_of_those_of_its_looks(study, images):
    folder, some = study(SPECTRUM), Looks(4, (SIZE - 4,))
    once = parquet.read(folder / "predictions/a.parquet")
    assert tuple(once) == PREDICTION_COLUMNS
    study(SPECTRUM, only=study.predict, looks=some)
    arrays = {name: t.numpy() for name, t in checkpoints.load_weights(folder / "model.safetensors").items()}
    where = devices.plan("cpu", "fp32", 1, SIZE)
    batches = images.batches(images.part("test", "a"), where.torch_device).looking(some)
    expected = classifiers.logits(arrays, features.features(None, batches, where)).reshape(-1, 4).mean(1)
    found = parquet.read(folder / "predictions/a.parquet")
    assert found["logit"].to_numpy() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert abs(found["logit"] - once["logit"]).max() > 1e-3, "the same would prove nothing"
    assert tuple(found) == (*PREDICTION_COLUMNS, ONE_LOOK)
    assert found[ONE_LOOK].tolist() == once["logit"].tolist()


def test_a_classifier_is_fitted_to_the_looks_that_it_is_asked_about(study, images):
    some, where = Looks(4, (SIZE - 4,)), devices.plan("cpu", "fp32", 1, SIZE)
    folder = study(SPECTRUM, looks=some)
    seen = []
    for split in ("train", "valid"):
        rows = images.part(split)
        values = features.features(None, images.batches(rows, where.torch_device).looking(some), where)
        seen.append(fitting.Labelled(values, np.repeat(rows["label"].to_numpy(), 4)))
    expected = fitting.fit("logistic", *seen, seed=0, title="")
    found = checkpoints.load_weights(folder / "model.safetensors")
    for name, array in expected.arrays.items():
        assert found[name].numpy() == pytest.approx(array, rel=1e-4, abs=1e-6), name
    assert read_json(folder / "meta.json")["train_images"] == 48


@pytest.mark.parametrize("looks", [None, Looks(4, (SIZE - 4,))])
@pytest.mark.parametrize("features_of", ["spectrum", "resnet10"])
def test_a_classifier_says_of_perturbed_images_what_it_says_of_images(study, images, features_of, looks):
    """By the weights, normalisation and looks of its predictions, and of the images that networks are shown."""
    how = {"features": features_of, "classifier": "logistic"}
    folder = study(how, looks=looks, perturbations=PERTURBATIONS)
    found = parquet.read(folder.with_name("perturbed.parquet"))
    check_perturbed(found, folder)
    assert len(found) == 20
    assert found["path"].tolist() == images.part("test")["path"].tolist()
    some = probed(folder, [folder / "model.safetensors"], how, looks, study.network, PERTURBATIONS, most=4)
    assert some["path"].tolist() == perturbed.choose(images.part("test"), 4, 0)["path"].tolist()


@pytest.fixture
def timed(monkeypatch):
    """Time a system by its script: its row, and the module that was timed."""
    seen, measure = [], latency.measure
    monkeypatch.setattr(
        latency, "measure", lambda models, *given, **more: seen.append(models) or measure(models, *given, **more)
    )

    def ran(folder, models, how, network=None, looks=None):
        rounds = {"warmup": 1, "rounds": 3, "batch_size": 2}
        config = {"latency": rounds, "system": how, "size": SIZE, "device": "cpu", "looks": looks}
        given = {"models": models, "network": network, "config": json.dumps(config), "threads": 1}
        file = folder.with_name("latency.csv")
        load_script("inference/latency_system").main(argparse.Namespace(**given, latency=file))
        table = pd.read_csv(file)
        assert tuple(table) == latency.columns(looks)
        (row,) = table.to_dict("records")
        (judging,) = seen.pop().values()
        assert (row["branch"], row["batch"], row["rounds"], row["threads"]) == ("baseline", 2, 3, 1)
        assert row["latency_ms_p90"] >= row["latency_ms_median"] > 0
        if looks:
            assert row["looks"] == looks
            assert row["looks_ms_p90"] >= row["looks_ms_median"] > row["latency_ms_median"]
        return judging

    return ran


def says(judging, batches, expected, raw=False):
    """Assert that what was timed says these logits of images; `raw`: of their pixels as they are."""
    rows = np.arange(len(batches))
    pixels = torch.from_numpy(batches.gather(rows)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = judging(pixels.float() if raw else batches.images(rows)).flatten().numpy()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert np.ptp(found) > 1e-3, "the same would prove nothing"


@pytest.mark.parametrize("classifier", ["logistic", "bilstm"])
@pytest.mark.parametrize("features_of", ["spectrum", "resnet10"])
def test_what_is_timed_of_a_classifier_is_what_it_says(study, images, timed, features_of, classifier, monkeypatch):
    """From the image, by the network that it asks, if it asks one, to the logit."""
    monkeypatch.setattr(bilstm, "EPOCHS", 2)
    how = {"features": features_of, "classifier": classifier}
    folder = study(how)
    judging = timed(folder, [folder / "model.safetensors"], how, study.network)
    own = Images(images.table, images.stores, images.preprocessing, Normalisation.beside(study.network))
    said = parquet.read(folder / "predictions/a.parquet")["logit"].to_numpy()
    batches = own.batches(own.part("test", "a"), torch.device("cpu"))
    says(judging, batches, said, raw=features_of == "spectrum")
    assert hasattr(judging, "origin") == (features_of == "resnet10"), "by which its layout is chosen"


def test_the_time_of_a_classifier_is_not_that_of_finding_libraries(monkeypatch):
    """Which would be a thousand times the logits of an image, at each call."""
    arrays = {"mean": np.zeros(2), "scale": np.ones(2), "layers.0.weight": np.ones((2, 1)), "layers.0.bias": 0}
    assert classifiers.logits(arrays, np.ones((1, 2))).tolist() == [2]
    monkeypatch.setattr(threadpoolctl, "ThreadpoolController", None)
    assert classifiers.logits(arrays, np.ones((1, 2))).tolist() == [2]


ORDERED = {"features": "spectrum", "classifier": "bilstm"}


def test_a_classifier_of_sequences_says_the_same_of_each_frame_of_a_video(study, images, monkeypatch):
    """By the frames in the order of their numbers, also where rows come in another, look by look."""
    monkeypatch.setattr(bilstm, "EPOCHS", 2)
    table = images.table.sort_values(["source", "split", "label"])
    within = table.groupby(["source", "split", "label"]).cumcount()
    video = table["split"] + "-" + table["label"].astype(str) + "-" + (within // 3).astype(str)
    paths = [of_frame(of, 7 * number) for of, number in zip(video, within % 3, strict=True)]
    mixed = table.assign(path=paths).sample(frac=1, random_state=1)
    videos = Images(mixed, images.stores, images.preprocessing)
    monkeypatch.setattr(Images, "open", lambda *given: videos)
    some = Looks(4, (SIZE - 4,))
    monkeypatch.setattr(perturbed, "CHUNK", 2)
    folder = study(ORDERED, looks=some, perturbations=PERTURBATIONS)
    check_perturbed(parquet.read(folder.with_name("perturbed.parquet")), folder)
    meta = read_json(folder / "meta.json")
    assert (meta["train_images"], meta["train_sequences"]) == (48, 16)
    arrays = {name: t.numpy() for name, t in checkpoints.load_weights(folder / "model.safetensors").items()}
    saved = parquet.read(folder / "predictions/a.parquet")
    rows = videos.part("test", "a").reset_index(drop=True)
    where = devices.plan("cpu", "fp32", 1, SIZE)
    values = features.features(None, videos.batches(rows, where.torch_device).looking(some), where)
    values = values.reshape(len(rows), 4, -1)
    for _, own in rows.groupby(rows["path"].map(file_of)):
        order = sorted(own.index, key=lambda row: number_of(rows["path"][row]))
        seen = [classifiers.logits(arrays, values[order, look], [np.arange(len(order))])[0] for look in range(4)]
        assert saved["logit"][own.index].nunique() == 1
        assert saved["logit"][order[0]] == pytest.approx(np.mean(seen), rel=1e-5, abs=1e-6)
    whole = by_video(saved)
    assert len(whole) == 4 < len(saved) == 10
    assert set(whole["logit"]) == set(saved["logit"])
    assert whole["logit"].nunique() == 4


def test_a_classifier_of_sequences_without_videos_warns_that_each_is_one_image(study, monkeypatch, caplog):
    monkeypatch.setattr(bilstm, "EPOCHS", 1)
    said = "waves seed 0: no training video has several frames here, so each sequence is one image; set `frames`"
    folder = study(ORDERED)
    assert read_json(folder / "meta.json")["train_sequences"] == 48
    assert said in caplog.text
    caplog.clear()
    study(SPECTRUM)
    assert said not in caplog.text
    assert "train_sequences" not in read_json(folder / "meta.json")


def test_a_network_s_logit_is_the_mean_of_those_of_its_looks_beside_that_of_one(tmp_path, images, seen):
    script, some = load_script("inference/predict"), Looks(4, (SIZE - 4,))
    given = {"model": tmp_path / "model.safetensors", "folder": tmp_path, "arch": "resnet10", "threads": 1}
    given |= {"manifest": None, "packs": None, "runtime": json.dumps({"device": "cpu", "evaluation_batch": 8})}
    network = networks.build("resnet10", 1, SIZE).eval()
    checkpoints.save_weights(given["model"], network.state_dict())
    write_json(tmp_path / "meta.json", {})
    where, tables = devices.plan("cpu", "fp32", 1, SIZE), {}
    for looks in (None, some):
        script.main(argparse.Namespace(**given, looks=looks))
        tables[looks] = parquet.read(tmp_path / "valid.parquet")
    assert tuple(tables[None]) == PREDICTION_COLUMNS
    assert tuple(tables[some]) == (*PREDICTION_COLUMNS, ONE_LOOK)
    assert tables[some][ONE_LOOK].tolist() == tables[None]["logit"].tolist()
    batches = images.batches(images.part("valid"), where.torch_device)
    windows = inference.outputs(network, batches.looking(some), where).reshape(-1, 4)
    assert tables[some]["logit"].to_numpy() == pytest.approx(windows.mean(1), abs=1e-5)
    assert abs(tables[some]["logit"] - tables[None]["logit"]).max() > 1e-4, "the same would prove nothing"


def test_features_of_a_network_are_its_own_under_its_normalisation(study, seen):
    """Of a baseline, and of start weights as they are: the same file gives the same features."""
    start = {"sha256": sha256(study.network), "normalisation": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    folder = study({"features": "resnet10", "classifier": "logistic"})
    meta, first = read_json(folder / "meta.json"), (folder / "model.safetensors").read_bytes()
    assert meta["network"] == {"name": "resnet10", "sha256": start["sha256"]}
    body = networks.parameter_count(networks.build("resnet10")) - 513
    assert meta["total_parameters"] == body + 513 + 2 * 512
    folder = study({"features": "resnet10@mine", "classifier": "logistic"}, start=start)
    assert (folder / "model.safetensors").read_bytes() == first
    assert read_json(folder / "meta.json")["start"] == start
    assert {one.std for one in seen} == {(0.25, 0.25, 0.25)}
    assert len(seen) == 4


def test_another_network_than_that_it_was_fitted_on_is_refused(study):
    folder = study({"features": "resnet10", "classifier": "logistic"})
    said = (folder / "predictions/a.parquet").read_bytes()
    checkpoints.save_weights(study.network, networks.build("resnet10", 2, SIZE).state_dict())
    with pytest.raises(
        DetectorError, match=r"resnet10/.*: is not what .*waves.* was fitted on; delete .* and run"
    ):
        study({"features": "resnet10", "classifier": "logistic"}, only=study.predict)
    assert (folder / "predictions/a.parquet").read_bytes() == said
    with pytest.raises(DetectorError, match=r"changed since the run began; start snakemake again"):
        study({"features": "resnet10@mine", "classifier": "logistic"}, start={"sha256": "of before"})


def test_so_many_images_are_taken_and_no_more(study):
    """Alike of both sources and classes, drawn by the seed; all, where there are no more."""
    every = (study(SPECTRUM) / "model.safetensors").read_bytes()
    folder = study({**SPECTRUM, "images": 48})
    assert (folder / "model.safetensors").read_bytes() == every
    few = [study({**SPECTRUM, "images": 12}, seed) for seed in (0, 1)]
    assert [read_json(folder / "meta.json")["train_images"] for folder in few] == [12, 12]
    assert (few[0] / "model.safetensors").read_bytes() != (few[1] / "model.safetensors").read_bytes() != every


def test_a_mean_is_that_of_networks_which_shared_no_image(tmp_path, images, seen, timed, monkeypatch):
    train, predict = load_script("training/baseline"), load_script("inference/predict_mean")
    recipe = {"optimizer": "SGD", "learning_rate": 0.01, "batch_size": 8, "epochs": 1, "patience": None, "flip": 0}
    runtime, fitted = {"device": "cpu", "evaluation_batch": 8}, []
    monkeypatch.setattr(train, "fit", lambda *args, **more: fitted.append(args[1:3]) or fit(*args, **more))
    for number in (1, 2):
        config = {
            "recipe": recipe,
            "runtime": {**runtime, "precision": "fp32"},
            "part": {"number": number, "of": 2},
        }
        folder = tmp_path / f"experts/seed0/resnet10-{number}"
        given = {"gpus": 0, "threads": 1, "arch": "resnet10", "seed": 0, "config": json.dumps(config)}
        given |= {"manifest": None, "packs": None, "start": None, "state": tmp_path / f"state/{number}"}
        given |= {
            "model": folder / "model.safetensors",
            "meta": folder / "meta.json",
            "history": folder / "history.csv",
        }
        train.main(argparse.Namespace(**given))
    rows = [set(zip(part._store.tolist(), part._row.tolist(), strict=True)) for part, _ in fitted]
    assert [len(part) for part in rows] == [24, 24]
    assert not rows[0] & rows[1]
    assert [len(valid) for _, valid in fitted] == [24, 24], "all validation images"
    assert all(part.labels.sum() == 12 for part, _ in fitted)
    models = sorted(tmp_path.glob("experts/seed0/*/model.safetensors"))
    folder = tmp_path / "experts/seed0/baseline"
    (folder / "predictions").mkdir(parents=True)
    given = {"name": "experts", "seed": 0, "system": json.dumps({"mean_of": "resnet10", "parts": 2}), "threads": 1}
    given |= {"models": models, "runtime": json.dumps(runtime), "manifest": None, "packs": None}
    given["looks"] = Looks(4, (SIZE - 4,))
    predict.main(argparse.Namespace(**given, folder=folder / "predictions", meta=folder / "meta.json"))
    where = devices.plan("cpu", "fp32", 1, SIZE)
    alone = [networks.load("resnet10", checkpoints.load_weights(path), SIZE) for path in models]
    for name, part in (("valid", images.part("valid")), ("b", images.part("test", "b"))):
        batches = images.batches(part, where.torch_device).looking(given["looks"])
        logits = [inference.logits(model, batches, where) for model in alone]
        assert abs(logits[0] - logits[1]).min() > 1e-4
        saved = parquet.read(folder / f"predictions/{name}.parquet")
        assert saved["logit"].to_numpy() == pytest.approx(np.mean(logits, axis=0), rel=1e-5, abs=1e-6)
        assert saved["path"].tolist() == part["path"].tolist()
        middle = images.batches(part, where.torch_device)
        once = np.mean([inference.logits(model, middle, where) for model in alone], axis=0)
        assert saved[ONE_LOOK].to_numpy() == pytest.approx(once, rel=1e-5, abs=1e-6)
        assert abs(saved["logit"] - saved[ONE_LOOK]).max() > 1e-5, "the same would prove nothing"
    system = json.loads(given["system"])
    check_perturbed(probed(folder, models, system, given["looks"], perturbations=PERTURBATIONS), folder)
    batches = images.batches(images.part("test", "a"), where.torch_device)
    expected = np.mean([inference.logits(model, batches, where) for model in alone], axis=0)
    says(timed(folder, models, system, looks=40), batches, expected)
    meta = read_json(folder / "meta.json")
    assert meta["total_parameters"] == 2 * networks.parameter_count(alone[0])
    assert [member["sha256"] for member in meta["members"]] == [sha256(path) for path in models]
    assert len({member["data_fingerprint"] for member in meta["members"]}) == 2
    assert meta["arch"] == "experts"
    assert "epochs" not in meta


SYSTEMS = {
    "spectrum_mlp": {"features": "spectrum", "classifier": "mlp"},
    "cnn_svm": {"features": "resnet10", "classifier": "svm", "images": 40},
    "frozen_linear": {"features": "resnet18@mine", "classifier": "logistic"},
    "experts": {"mean_of": "resnet10", "parts": 2},
}


@pytest.mark.long
def test_a_run_has_its_systems_in_the_tables_of_what_was_said_of_images_and_in_no_other(tmp_path):
    study = Workspace(tmp_path / "study")
    checkpoints.save_weights(study.folder / "data/w.safetensors", networks.build("resnet18", 3).state_dict())
    own = {**TINY, "architectures": ["resnet10"], "inits": {"mine": "data/w.safetensors"}, "systems": SYSTEMS}
    own |= {"deploy": {"branches": []}, "robustness": {"use": ["jpeg-50"]}, "gradcam": {"branches": []}}
    own |= {"prune": {"methods": {"l1": [0.4]}, "dense_control": False}}
    own |= {"protocol": {"kind": "leave_one_generator_out", "generators": ["glide"]}}
    study.configure(own)
    done = study.snakemake()
    assert done.returncode == 0, done.stdout
    found = {path.stem: pd.read_csv(path) for path in (study.results / "tables").glob("*.csv")}
    everything = {"resnet10", *SYSTEMS}
    everywhere = ("baseline_performance", "final_accuracy", "metrics", "per_generator", "robustness")
    for name in (*everywhere, "generator_matrix"):
        assert set(found[name]["arch"]) == everything, name
    assert set(found["audit_metadata"]["arch"].dropna()) == everything
    for name in ("ablation", "best_hyperparameters", "search_luck"):
        assert set(found[name]["arch"]) == {"resnet10"}, name
    sizes = found["efficiency"].query("branch == 'baseline'").set_index("arch")
    assert sizes.index.tolist() == list(found["final_accuracy"]["arch"].unique())
    assert (sizes["latency_ms_median"] > 0).all()
    runs = study.results / "runs"
    asked = {name: [runs / f"{name}/seed0/baseline/model.safetensors"] for name in ("resnet10", *SYSTEMS)}
    asked["cnn_svm"] += asked["resnet10"]
    asked["frozen_linear"].append(study.folder / "data/w.safetensors")
    asked["experts"] = [runs / f"experts/seed0/resnet10-{part}/model.safetensors" for part in (1, 2)]
    bytes_ = {name: sum(path.stat().st_size for path in files) for name, files in asked.items()}
    assert (sizes["file_mib"] * 2**20).to_dict() == pytest.approx(bytes_, abs=600)
    counts = sizes["total_parameters"]
    assert counts["cnn_svm"] == counts["resnet10"] - 513, "its body"
    assert counts["experts"] == 2 * counts["resnet10"]
    assert sizes["total_parameters"].isna().to_dict() == {name: name == "spectrum_mlp" for name in asked}
    assert (
        sizes.loc[list(SYSTEMS), ["nonzero_weights", "sparsity_percent", "paper_file_mib"]].isna().all(axis=None)
    )
    for name in ("significance", "robustness"):
        rows = found[name][found[name]["reference"].notna()]
        assert set(rows.loc[rows["reference"] == "resnet10", "arch"]) == set(SYSTEMS), name
        assert set(rows.loc[rows["reference"] != "resnet10", "arch"]) == {"resnet10"}, name
    final = found["final_accuracy"].set_index(["arch", "branch", "testset"])["accuracy"]
    clean = (
        found["robustness"].query("perturbation == 'clean'").set_index(["arch", "branch", "testset"])["accuracy"]
    )
    assert clean.to_dict() == final[clean.index].to_dict()
    rows = found["environments"]
    assert rows["differs"].isna().all()
    fitted = dict.fromkeys(("spectrum_mlp", "cnn_svm", "frozen_linear"), ["fitted", "predicted"])
    for kept_out in ("", "glide"):
        of = rows[rows["kept_out"].fillna("") == kept_out]
        stages = {name: of.loc[of["arch"] == name, "stage"].tolist() for name in SYSTEMS}
        assert stages == {**fitted, "experts": ["trained", "trained", "predicted"]}, kept_out
    # Of frozen features the network is the same, but not the images; of others neither.
    for system, network in (("frozen_linear", True), ("cnn_svm", False)):
        path = f"runs/{system}/seed0/baseline/meta.json"
        plain, without = (read_json(study.results / place / path) for place in ("", "protocols/glide"))
        assert (plain["network"]["sha256"] == without["network"]["sha256"]) == network
        assert plain["data_fingerprint"] != without["data_fingerprint"]
    figures = {path.name for path in (study.results / "figures").iterdir()}
    for name in everything:
        assert {f"roc_{name}_seed0_combined.svg", f"reliability_{name}_seed0.svg"} < figures
        assert {f"robustness_{name}_seed0.svg", f"brittleness_{name}_seed0.svg"} < figures
        assert f"generator_matrix_{name}_seed0.svg" in figures
        assert (f"curves_{name}_seed0.svg" in figures) == (name == "resnet10")
    assert study.stale() == {}
    study.configure({**own, "systems": {**SYSTEMS, "spectrum_mlp": {"features": "spectrum", "classifier": "svm"}}})
    stale = study.stale()
    own_stages = {"classifier": 2, "predict_classifier": 2, "probe_system": 1, "latency_system": 1}
    assert own_stages.items() <= stale.items()
    others = {"baseline", "expert", "predict", "predict_mean", "probe", "search", "finetune", "latency"}
    assert not others & set(stale)
    study.configure({name: value for name, value in own.items() if name != "systems"})
    assert not {"baseline", "classifier", "expert", "predict", "search", "finetune", "latency"} & set(
        study.stale()
    )
