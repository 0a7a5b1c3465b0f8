"""The text proxy task: trains a word-level language model and measures its perplexity."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoshrink_ray import plugins
from autoshrink_ray.contracts import DataRequest, SearchSpace, Settings
from autoshrink_ray.errors import DataError
from autoshrink_ray.records import Measurement, Natural
from autoshrink_ray.seeds import derive_seed
from autoshrink_ray.topology import Topology
from trainables.batches import as_tensor, segments, text_columns
from trainables.data import TextSet
from trainables.decoder import decoder_loss
from trainables.device import Compute, machine
from trainables.measure import DivergedError, Progress, measure, require_finite
from trainables.stop_rules import Count, Fraction, MovingAverage, Positive, TextEpoch, TextStopRules

_EMBEDDING_RANGE = 0.5
_DROPS = (4, 2)
"""The learning rate falls this many epochs before the last possible one ends."""


class TextProxy(TextStopRules):
    """Settings of the text proxy task; the defaults are the original search's.

    Attributes:
        batch_size: Columns B of the training text.
        valid_batch_size: Columns of the validation text.
        bptt: Rows of a training segment, over which gradients flow back.
        half_length_probability: Share of segments that are half as long.
        learning_rate: SGD's for a segment of `bptt` rows; proportionally less for a shorter one.
        clip: Largest norm of the gradient.
        word_vectors: File with word vectors in GloVe's text format; None for random ones.
        seed: Seed of the random embeddings, the same for every candidate.
        deterministic: Whether only algorithms are used that always give the same bits.
    """

    paths: ClassVar[frozenset[str]] = frozenset({"word_vectors"})

    batch_size: Count = 128
    valid_batch_size: Count = 256
    bptt: Count = 35
    half_length_probability: Fraction = 0.05
    learning_rate: Positive = 20.0
    clip: Positive = 0.25
    word_vectors: str | None = None
    seed: Natural = 0
    deterministic: bool = True


class TextNetwork(Protocol):
    """What this task asks of the modules that a space builds, beside being an `nn.Module`.

    Attributes:
        embedding: Its weight (V, H) is the decoder's as well.
        decoder_bias: (V,).
    """

    embedding: nn.Embedding
    decoder_bias: Tensor

    def features(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Words (T, B) and state (B, H) to outputs (T, B, H) and new state."""
        ...

    def drop_output(self, outputs: Tensor) -> Tensor:
        """Outputs (T, B, H) as the decoder reads them."""
        ...

    def initial_state(self, batch: int) -> Tensor:
        """State (B, H) before the first word."""
        ...


def learning_rate(proxy: TextProxy, epoch: int) -> float:
    """Learning rate of `epoch` (from 1): a tenth after epochs E-4 and E-2, counted from 0."""
    ended = [proxy.epochs - drop for drop in _DROPS if 0 <= proxy.epochs - drop < epoch - 1]
    return proxy.learning_rate / 10.0 ** len(ended)


def embedding_table(data: TextSet, size: int, seed: int) -> Tensor:
    """Embeddings (V, size) that every candidate of a run starts from.

    Uniform between -0.5 and 0.5; rows with a word vector hold that instead.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "embedding"))
    table = torch.empty(data.shape.vocabulary, size)
    table.uniform_(-_EMBEDDING_RANGE, _EMBEDDING_RANGE, generator=generator)
    if data.word_vectors is not None and data.has_vector is not None:
        known = as_tensor(data.has_vector)
        table[known] = as_tensor(data.word_vectors)[known]
    return table


def perplexity(loss: float, place: str) -> float:
    """exp(loss) of a loss per target in nats.

    Raises:
        DivergedError: If the loss is not finite, or too large for that; `place` says where.
    """
    try:
        return math.exp(require_finite(loss, place))
    except OverflowError:
        raise DivergedError(f"diverged in {place} {loss}") from None


class TextEvaluator:
    """Trains language models one after the other on text that stays on the device."""

    def __init__(
        self,
        space: SearchSpace,
        macro: Any,
        proxy: TextProxy,
        data: TextSet,
        compute: Compute,
    ) -> None:
        self._space = space
        self._macro = macro
        self._proxy = proxy
        self._data = data
        self._compute = compute
        self._train = text_columns(data.train, proxy.batch_size).to(compute.device)
        self._valid = text_columns(data.valid, proxy.valid_batch_size).to(compute.device)

    def evaluate(self, topology: Topology, seed: int) -> Measurement:
        """Trains `topology` from scratch; see `autoshrink_ray.contracts.Evaluator`."""
        return measure(self._compute, seed, lambda progress: self._run(topology, seed, progress))

    def _run(self, topology: Topology, seed: int, progress: Progress) -> None:
        cost = self._space.cost(topology, self._macro, self._data.shape)
        module = self._build(topology)
        optimizer = torch.optim.SGD(module.parameters(), lr=self._proxy.learning_rate)
        generator = torch.Generator().manual_seed(derive_seed(seed, "segments"))
        history: list[TextEpoch] = []
        while not progress.stop_reason:
            progress.epochs += 1
            training_loss = self._train_epoch(module, optimizer, generator, progress.epochs)
            loss = self._validate(module)
            place = f"epoch {progress.epochs}: validation loss"
            progress.curve.append(perplexity(loss, place))
            history.append(TextEpoch(loss, training_loss))
            progress.stop_reason = self._proxy.stop_reason(history)
        progress.metrics = {
            "perplexity": min(progress.curve),
            "loss": min(epoch.loss for epoch in history),
            **cost,
        }

    def _build(self, topology: Topology) -> Any:
        module = self._space.build(topology, self._macro, self._data.shape)
        table = embedding_table(self._data, module.embedding.embedding_dim, self._proxy.seed)
        with torch.no_grad():
            module.embedding.weight.copy_(table)
        return module.to(self._compute.device)

    def _train_epoch(
        self,
        module: Any,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        epoch: int,
    ) -> float:
        """Trains on the whole text once; the moving average of the segments' losses."""
        proxy = self._proxy
        average_loss = MovingAverage(proxy.average_decay)
        rate = learning_rate(proxy, epoch)
        module.train()
        state = module.initial_state(proxy.batch_size)
        cuts = segments(len(self._train), proxy.bptt, proxy.half_length_probability, generator)
        for step, (start, length) in enumerate(cuts, start=1):
            optimizer.param_groups[0]["lr"] = rate * length / proxy.bptt
            optimizer.zero_grad()
            loss, state = segment_loss(module, self._train[start : start + length + 1], state)
            loss = loss / (length * proxy.batch_size)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(module.parameters(), proxy.clip)
            optimizer.step()
            place = f"epoch {epoch}, step {step}: training loss"
            average_loss.update(require_finite(loss.item(), place))
        return average_loss.value

    def _validate(self, module: Any) -> float:
        """Mean loss over all validation targets."""
        total = text_loss(module, self._valid, self._proxy.bptt)
        return total.item() / self._valid[1:].numel()


def segment_loss(network: TextNetwork, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Predicts each next word of a segment.

    Args:
        network: The language model.
        rows: (T + 1, B) word numbers: the inputs, and one row on, the targets.
        state: (B, H) before the segment.

    Returns:
        Loss summed over the T * B targets, in nats, and the state after the segment, cut off
        from the gradient.
    """
    outputs, state = network.features(rows[:-1], state)
    return next_word_loss(network, outputs, rows[1:]), state.detach()


def next_word_loss(network: TextNetwork, outputs: Tensor, targets: Tensor) -> Tensor:
    """Loss of the words that a language model predicts from its outputs.

    Args:
        network: The language model.
        outputs: (T, B, H), as `features` returns them.
        targets: (T, B) word numbers.

    Returns:
        Sum over the targets, in nats.
    """
    return decoder_loss(
        network.drop_output(outputs).flatten(0, 1),
        network.embedding.weight,
        network.decoder_bias,
        targets.flatten(),
    )


@torch.inference_mode()
def text_loss(module: Any, columns: Tensor, rows: int) -> Tensor:
    """Loss of a language model on a whole text; puts the model into evaluation mode.

    Args:
        module: A `TextNetwork`.
        columns: (T, B) word numbers, on the model's device.
        rows: How many rows are computed at a time; no matter for the result.

    Returns:
        Sum over the (T - 1) * B targets, in nats, on the model's device.
    """
    module.eval()
    state = module.initial_state(columns.shape[1])
    total = torch.zeros((), dtype=torch.float64, device=columns.device)
    for start in range(0, len(columns) - 1, rows):
        loss, state = segment_loss(module, columns[start : start + rows + 1], state)
        total += loss
    return total


class TextTask:
    """Trains language models and measures their validation perplexity.

    Modules have to be a `TextNetwork`.
    """

    objective = "perplexity"
    Proxy: type[Settings] = TextProxy

    def machine(self, *, gpu: bool) -> tuple[str, str] | None:
        """What trains here; see `autoshrink_ray.contracts.ProxyTask`."""
        return machine(gpu=gpu)

    def load(
        self, request: DataRequest, space: SearchSpace, macro: Any, proxy: TextProxy
    ) -> TextSet:
        """Reads the text; checks that it fills the columns and that word vectors fit the networks.

        Raises:
            DataError: With the file, the rule and the value.
        """
        data = load_text(request)
        check_length("training", data.train, "batch_size", proxy.batch_size)
        check_length("validation", data.valid, "valid_batch_size", proxy.valid_batch_size)
        check_word_vectors(space, macro, data)
        return data

    def evaluator(
        self,
        space: SearchSpace,
        macro: Any,
        proxy: TextProxy,
        data: TextSet,
        *,
        threads: int,
        gpu: bool,
    ) -> TextEvaluator:
        """Prepares a worker; see `autoshrink_ray.contracts.ProxyTask`."""
        compute = Compute.available(threads=threads, gpu=gpu, deterministic=proxy.deterministic)
        return TextEvaluator(space, macro, proxy, data, compute)


def check_word_vectors(space: SearchSpace, macro: Any, data: TextSet) -> None:
    """Checks that the word vectors, where there are some, fit the networks.

    Raises:
        DataError: If they have another dimension.
    """
    if data.word_vectors is None:
        return
    with torch.random.fork_rng(devices=[]):
        module = space.build(space.initial(space.nodes, 0), macro, data.shape)
    size, given = module.embedding.embedding_dim, data.word_vectors.shape[1]
    if size != given:
        raise DataError(
            f"word vectors are as long as the network's hidden state: {size}, got {given}"
        )


def load_text(request: DataRequest) -> TextSet:
    """Reads the text that is asked for.

    Raises:
        DataError: If it cannot be read or is no text.
    """
    data = plugins.dataset(request.name)(request)
    if not isinstance(data, TextSet):
        raise DataError(f"the text task trains on text, got {request.spec!r}: {data.summary}")
    return data


def check_length(split: str, words: npt.NDArray[np.int32], option: str, columns: int) -> None:
    """Checks that a text can be cut into columns with an input and a target each.

    Args:
        split: What the text is for, as messages call it.
        words: Word numbers, shape (N,).
        option: Setting that says how many columns there are.
        columns: Its value.

    Raises:
        DataError: If there are too few words.
    """
    if len(words) < 2 * columns:
        raise DataError(
            f"the {split} text fills {option} columns with at least 2 words each: "
            f"{columns} columns need {2 * columns} words, got {len(words)}"
        )


TASK = TextTask()
