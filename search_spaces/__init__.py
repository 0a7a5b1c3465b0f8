"""What can be built: image and language-model cells, their networks, costs and published cells.

`search_spaces.cnn` and `search_spaces.rnn` each hold a `SPACE`; they import torch. Costs, plans
and the zoo are plain numbers and data, and do not.
"""

from search_spaces.build import build
from search_spaces.network import NetworkFile
from search_spaces.zoo import CELLS, ZooCell

__all__ = ["CELLS", "NetworkFile", "ZooCell", "build"]
