"""`anonymize train generator`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generator(
    data: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Dataset of `anonymize dataset`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the checkpoint, log and previews.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Length of the schedule.")] = 480.0,
    stretch_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so many of them, to go on later.", show_default=False)
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="People a step and process, half of it at full size.")] = 12,
    learning_rate: Annotated[float, typer.Option(min=0, max=1e6)] = 8e-3,
    factor: Annotated[
        float, typer.Option(min=0.01, max=8, help="On all channels; 2 is the thesis' larger model.")
    ] = 1.0,
    appearance_mapper: Annotated[bool, typer.Option(help="z can be read from a picture (thesis 4.7).")] = True,
    co_modulation: Annotated[bool, typer.Option(help="The place has a say in the modulation (thesis 4.9).")] = True,
    improved_conditioning: Annotated[
        bool, typer.Option(help="The discriminators are not told the cover (thesis 4.10).")
    ] = True,
    judge_pose: Annotated[bool, typer.Option(help="Tell the discriminators the embedding.")] = True,
    parts: Annotated[int, typer.Option(min=1, help="Parts of the surface with features of their own.")] = 64,
    adversarial: Annotated[float, typer.Option(min=0, help="Weight of the discriminators.")] = 1.0,
    augmentation: Annotated[
        float, typer.Option(min=0, help="Strength of what the discriminators see changed; more for fewer pictures.")
    ] = 0.3,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train the generator; goes on with the checkpoint in OUTPUT if there is one.

    In two processes: `torchrun --nproc-per-node 2 -m anonymize train generator ...`.
    """
    import torch

    from anonymize.core.device import resolve_device
    from anonymize.generate.layered import LAYERED_CHANNELS
    from anonymize.generate.network import GeneratorConfig
    from anonymize.lab.train.dataset_reader import People
    from anonymize.lab.train.layered import LayeredOptions, LayeredTraining
    from anonymize.lab.train.parallel import joined
    from anonymize.lab.train.projected import FrozenFeatures, lite1_parameters

    place = torch.device(resolve_device(device))
    with joined(place) as rank:
        people = People(data, halvings=1)
        config = GeneratorConfig(
            channels=LAYERED_CHANNELS,
            factor=factor,
            embedding=people.table.embedding.shape[1],
            surface=people.table.name,
            appearance_mapper=appearance_mapper,
            co_modulation=co_modulation,
            improved_conditioning=improved_conditioning,
            judge_pose=judge_pose,
            parts=parts,
            alpha=True,
        )
        options = LayeredOptions(
            minutes=minutes,
            stretch_minutes=stretch_minutes,
            batch_size=batch_size,
            learning_rate=learning_rate,
            adversarial=adversarial,
            augmentation=augmentation,
            seed=seed,
        )
        training = LayeredTraining(output, options, config, place, FrozenFeatures(lite1_parameters()), rank)
        training.run(lambda halvings: people if halvings else People(data))
