"""The network as the app answers with it: OpenVINO's answers are torch's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import fruitvision
from fruitvision.models import compiled as module
from fruitvision.models.compiled import TOLERANCE, CompiledNetwork, compile_openvino
from fruitvision.models.networks import build_network

pytest.importorskip("openvino", reason="OpenVINO is not installed: torch answers")


@pytest.fixture(autouse=True)
def as_fast_as_torch(monkeypatch):
    """What other programs leave of the cores decides nothing here; how fast it is, ``python -m benchmarks`` tells."""
    monkeypatch.setattr(module, "shortest_seconds", lambda networks, _: [1.0 for _ in networks])


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "group", "group-ws", "none"])
def test_a_resnet_under_any_norm_answers_the_same(norm):
    _same(build_network(num_classes=7, norm=norm, width=16, seed=1).eval())


def test_another_trunk_answers_the_same():
    _same(build_network("tf_efficientnet_lite0", num_classes=7, norm="own", seed=1).eval())


@torch.inference_mode()
def _same(network: nn.Module) -> None:
    ready = compile_openvino(network, 64, network)
    assert isinstance(ready, CompiledNetwork)
    for count in (1, 5):
        x = torch.randn(count, 3, 64, 64)
        for expected, found in zip(network(x), ready(x), strict=True):
            assert expected.shape == found.shape
            assert (expected - found).norm() <= 10 * TOLERANCE * expected.norm()
    x = torch.randn(2, 3, 97, 130)
    torch.testing.assert_close(ready(x).logits, network(x).logits)  # another size is torch's affair


@pytest.mark.parametrize("shipped", ["fruits-360", "fruits-webcam"])
def test_the_shipped_networks_answer_compiled_in_every_way_of_looking(shipped):
    classifier = fruitvision.load(shipped)
    picture = np.tile(np.linspace(0, 255, 320, dtype=np.uint8)[None, :, None], (240, 1, 3))
    expected = classifier.predict(picture)
    assert classifier.use_openvino()
    assert isinstance(classifier.inference_network, CompiledNetwork)
    assert classifier.with_views("one").inference_network is classifier.inference_network
    found = classifier.predict(picture)
    assert found.fruit_type == expected.fruit_type and found.verdict == expected.verdict
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=0.01)
    assert found.heatmap().size == (320, 240)


def test_many_threads_ask_at_once_and_each_is_told_its_own():
    network = build_network(num_classes=7, width=16, seed=1).eval()
    ready, pictures, wrong = compile_openvino(network, 32, network), torch.randn(8, 3, 32, 32), []
    with torch.inference_mode():
        expected = network(pictures).logits

    def ask(row: int) -> None:
        for _ in range(30):
            with torch.inference_mode():
                found = ready(pictures[row : row + 1]).logits[0]
            if not torch.allclose(found, expected[row], atol=0.05 * float(expected[row].abs().max())):
                wrong.append(row)

    threads = [threading.Thread(target=ask, args=(row,)) for row in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class _Otherwise(nn.Module):
    """What a trace does not keep: it depends on the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.network = build_network(num_classes=3, width=8, seed=1)

    def forward(self, x):
        found = self.network(x)
        return found._replace(logits=found.logits * float(1 + x.abs().sum()))


def test_a_network_that_would_answer_otherwise_stays_with_torch():
    assert compile_openvino(_Otherwise().eval(), 32, nn.Identity()) is None


class _Broken:
    """In the place of OpenVINO's compiled network: what it does once it has been found to answer well."""

    def __init__(self, does: str) -> None:
        self.does, self.asked = does, 0

    def create_infer_request(self):
        return self

    def start_async(self, inputs, share_inputs):
        self.asked += 1
        self.rows = len(inputs[0])
        if self.does == "raises":
            raise RuntimeError("Exception from src/inference")

    def wait_for(self, milliseconds):
        return self.does != "hangs"

    def get_output_tensor(self, index):
        return SimpleNamespace(data=np.full([(self.rows, 3), (self.rows, 64), (self.rows, 64, 1, 1)][index], np.nan, np.float32))


@pytest.mark.parametrize("does", ["raises", "answers no numbers", "hangs"])
@torch.inference_mode()
def test_torch_answers_when_openvino_fails_later_and_from_then_on(does, caplog):
    network = build_network(num_classes=3, width=8, seed=1).eval()
    broken, x = _Broken(does), torch.randn(2, 3, 32, 32)
    answering = CompiledNetwork(broken, 32, network)
    for _ in range(3):
        torch.testing.assert_close(answering(x).logits, network(x).logits)
    assert broken.asked == 1
    assert len(caplog.records) == 1 and "torch is used" in caplog.text


@torch.inference_mode()
def test_a_network_that_answers_no_numbers_by_itself_is_not_openvinos_fault():
    network = build_network(num_classes=3, width=8, seed=1).eval()
    network.fc.bias.fill_(float("nan"))
    broken = _Broken("answers no numbers")
    answering = CompiledNetwork(broken, 32, network)
    for _ in range(2):
        assert answering(torch.randn(1, 3, 32, 32)).logits.isnan().all()
    assert broken.asked == 2


def test_a_pass_that_does_not_end_is_given_up_in_its_time(monkeypatch, caplog):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.0)
    network = build_network(num_classes=3, width=8, seed=1).eval()
    with torch.inference_mode():
        answering = CompiledNetwork(next(module._compiled(network, 96)), 96, network)
        x = torch.randn(32, 3, 96, 96)
        torch.testing.assert_close(answering(x).logits, network(x).logits)
    assert "no output within" in caplog.text


@pytest.mark.parametrize("does", ["raises", "answers no numbers", "hangs"])
def test_what_fails_at_once_is_not_kept(does, monkeypatch):
    network = build_network(num_classes=3, width=8, seed=1).eval()
    monkeypatch.setattr(module, "_compiled", lambda *_: iter([_Broken(does)]))
    assert compile_openvino(network, 32, network) is None


@pytest.mark.parametrize(("compiling", "said"), [("threading.Event().wait()", ""), ("(time.sleep(1), print('compiled'))", "compiled\n")])
@pytest.mark.slow
def test_the_end_waits_a_while_for_a_compilation_that_no_answer_waits_for(compiling, said):
    code = f"""
import threading, time
import numpy as np
import fruitvision
from fruitvision.recognition import batcher as batching
from fruitvision.recognition import classifier
batching.EXIT_SECONDS = 2.5
classifier.compile_openvino = lambda *_: {compiling}
batcher = batching.Batcher(fruitvision.load("fruits-360"), openvino=True)
picture = np.zeros((64, 64, 3), np.uint8)
print(batcher.submit(picture).label == batcher.submit(picture).label)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "True\n" + said), done.stderr


def test_without_openvino_torch_goes_on(monkeypatch):
    classifier = fruitvision.load()
    before = classifier.inference_network
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert not classifier.use_openvino()
    assert classifier.inference_network is before


def test_what_is_clearly_slower_is_not_kept(monkeypatch):
    network = build_network(num_classes=3, width=8, seed=1).eval()
    monkeypatch.setattr(module, "shortest_seconds", lambda networks, _: [*[2.0] * (len(networks) - 1), 1.0])
    assert compile_openvino(network, 32, network) is None


@pytest.mark.parametrize("fastest", [0, 1])
def test_the_fastest_of_the_precisions_with_the_same_outputs_is_kept(fastest, monkeypatch):
    network = build_network(num_classes=3, width=8, seed=1).eval()
    models = [list(module._compiled(network, 32))[-1] for _ in range(2)]
    monkeypatch.setattr(module, "_compiled", lambda *_: iter(models))
    monkeypatch.setattr(module, "shortest_seconds", lambda networks, _: [1.0 if at == fastest else 1.1 for at in range(len(networks))])
    ready = compile_openvino(network, 32, network)
    assert isinstance(ready, CompiledNetwork) and ready._compiled is models[fastest]


@pytest.mark.slow
def test_networks_compiled_at_once_by_many_threads_are_all_compiled_and_nothing_is_compiled_twice():
    classifiers = [fruitvision.load("fruits-360") for _ in range(3)]
    threads = [threading.Thread(target=classifier.use_openvino) for classifier in classifiers]
    before = list(warnings.filters)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
    made = [classifier.inference_network for classifier in classifiers]
    assert all(isinstance(each, CompiledNetwork) for each in made)
    assert all(classifier.use_openvino() for classifier in classifiers)
    assert [classifier.inference_network for classifier in classifiers] == made


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
@pytest.mark.slow
def test_a_signal_is_still_a_signal_when_networks_have_come_and_gone():
    code = """
import os, signal
import fruitvision
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append("heard"))
from fruitvision.models import compiled
compiled._seconds = lambda networks, _: [1.0 for _ in networks]
first = fruitvision.load("fruits-360")
assert first.use_openvino()
second = fruitvision.load("fruits-360")
assert second.use_openvino()
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
print(got)
"""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "['heard']"), done.stderr
