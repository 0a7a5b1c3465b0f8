"""From images, wherever they are, to batches for a step.

A *source* describes a split and travels to every process. Its *reader* decodes one image. An
*order* says which images make a batch, and a *loader* fulfils orders, with or without processes of
its own. Everything random about an image follows from the seed in its item, so it does not matter
which process prepares it or what that process did before.
"""
