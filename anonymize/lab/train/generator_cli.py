"""`anonymize train stylegan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

MOST_SEED = 2**32 - 1
"""Times a stride, plus the step, it is what PyTorch draws from: 64 bits."""


def stylegan(
    data: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Dataset of `anonymize dataset`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the checkpoint, log and previews.")],
    steps: Annotated[int, typer.Option(min=1, help="Length of the schedule.")] = 100_000,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(min=0, max=1)] = 1e-3,
    halvings: Annotated[int, typer.Option(min=0, max=4, help="Train at half of 288 x 160 so many times.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Checkpoint or weights (.safetensors) of any size to begin with.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline",
            help="StyleGAN baseline (thesis 4.4): from --appearance-mapper to --parts all are off, unless named.",
        ),
    ] = False,
    factor: Annotated[
        float, typer.Option(min=0.01, max=8, help="On all channels; 2 is the thesis' larger model.")
    ] = 1.0,
    appearance_mapper: Annotated[
        bool | None, typer.Option(help="z can be read from a picture (thesis 4.7).  [default: on]")
    ] = None,
    co_modulation: Annotated[
        bool | None, typer.Option(help="The place has a say in the modulation (thesis 4.9).  [default: on]")
    ] = None,
    improved_conditioning: Annotated[
        bool | None, typer.Option(help="The discriminator is not told the mask (thesis 4.10).  [default: on]")
    ] = None,
    judge_pose: Annotated[
        bool | None, typer.Option(help="Tell the discriminator the embedding.  [default: on]")
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(min=0, help="Parts of the surface with a colour each; 0 for none.  [default: 32]"),
    ] = None,
    more_resolutions: Annotated[bool, typer.Option(help="Feature matching on the finer maps (thesis 5.3.4).")] = True,
    feature_matching: Annotated[float, typer.Option(min=0, help="Weight of feature matching.")] = 5.0,
    colour_matching: Annotated[float, typer.Option(min=0, help="Weight of the difference of colours.")] = 10.0,
    perceptual: Annotated[float, typer.Option(min=0, help="Weight of the detector's features.")] = 10.0,
    kl: Annotated[float, typer.Option(min=0, help="Weight of the divergence of z.")] = 0.01,
    augmentation: Annotated[
        float, typer.Option(min=0, help="Strength of what the discriminator sees changed; more for fewer pictures.")
    ] = 0.3,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read pictures.")] = 1,
    compile_networks: Annotated[
        bool, typer.Option("--compile", help="Compile the networks first: steps half as long on CPUs.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes, with a checkpoint.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Train the thesis' generator, which paints the whole cover; goes on with the checkpoint in OUTPUT."""
    import dataclasses

    from anonymize.core.device import resolve_device
    from anonymize.generate.network import GeneratorConfig
    from anonymize.generate.network import baseline as baseline_config
    from anonymize.lab.train.dataset_reader import People
    from anonymize.lab.train.generator import GeneratorOptions, GeneratorTraining

    people = People(data, halvings=halvings)
    named: dict[str, Any] = {
        "appearance_mapper": appearance_mapper,
        "co_modulation": co_modulation,
        "improved_conditioning": improved_conditioning,
        "judge_pose": judge_pose,
        "parts": parts,
    }
    config = dataclasses.replace(
        baseline_config() if baseline else GeneratorConfig(),
        factor=factor,
        embedding=people.table.embedding.shape[1],
        surface=people.table.name,
        **{name: value for name, value in named.items() if value is not None},
    ).halved(halvings)
    coarse = (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0)
    options = GeneratorOptions(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        feature_weights=GeneratorOptions.feature_weights if more_resolutions else coarse,
        feature_matching=feature_matching,
        kl=kl,
        colour_matching=colour_matching,
        perceptual=perceptual,
        augmentation=augmentation,
        workers=workers,
        compile=compile_networks,
        minutes=minutes,
        seed=seed,
    )
    GeneratorTraining(output, options, config, resolve_device(device), start).run(people)
