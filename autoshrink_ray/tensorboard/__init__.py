"""What TensorBoard shows of searches and trainings: event files on any storage."""

from autoshrink_ray.tensorboard.events import EventFile, ScalarWriter

__all__ = ["EventFile", "ScalarWriter"]
