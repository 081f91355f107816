"""`anonymize dataset ...`: the people that the generator is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(help="Make the dataset that the generator is trained on (extra `train`).", no_args_is_help=True)

Dataset = Annotated[Path, typer.Option("-o", "--output", help="Folder of the dataset; added to if there is one.")]
Weights = Annotated[str, typer.Option(help="embedded, or a file of `anonymize train detector`.")]
Layout = Literal["shards", "market1501"]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


@app.command()
def build(
    source: Annotated[Path, typer.Argument(exists=True, help="Picture, film or a folder of them.")],
    output: Dataset,
    min_vertices: Annotated[
        float, typer.Option(min=0, help="Leave out people with fewer unique vertices per body part.")
    ] = 3.0,
    min_height: Annotated[
        float, typer.Option(min=1, help="Leave out people of fewer pixels: they would be enlarged, and blurred.")
    ] = 48.0,
    every: Annotated[int, typer.Option(min=1, help="Of films, take each so many-th frame.")] = 3,
    files: Annotated[int | None, typer.Option(min=1, help="Read so many files only (to try the command).")] = None,
    weights: Weights = "embedded",
    device: Device = "auto",
) -> None:
    """Cut out the people of pictures and films, with their masks and surface."""
    from anonymize.core.body_surface import load_surface
    from anonymize.core.device import resolve_device
    from anonymize.detect.build import build_detector
    from anonymize.lab.train.dataset import build_dataset

    detector = build_detector(weights, device=resolve_device(device))
    count = build_dataset(
        source,
        output,
        detector,
        load_surface(),
        min_vertices_per_part=min_vertices,
        min_height_px=min_height,
        every=every,
        limit=files,
    )
    typer.echo(f"{count} people written")


@app.command()
def labelled(
    source: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, help="Street photos with labels, or boxed pictures with masks."),
    ],
    output: Dataset,
    min_height: Annotated[float, typer.Option(min=1, help="Leave out people of fewer pixels.")] = 150.0,
    files: Annotated[int | None, typer.Option(min=1, help="Read so many pictures only (to try the command).")] = None,
    weights: Weights = "embedded",
    device: Device = "auto",
) -> None:
    """Cut out the people whose masks are known, with their surface."""
    from anonymize.core.body_surface import load_surface
    from anonymize.core.device import resolve_device
    from anonymize.detect.build import build_detector
    from anonymize.lab.train.labelled import build_labelled

    detector = build_detector(weights, device=resolve_device(device))
    count = build_labelled(source, output, detector, load_surface(), min_height_px=min_height, limit=files)
    typer.echo(f"{count} people written")


@app.command()
def render(
    output: Dataset,
    people: Annotated[int, typer.Option(min=1, help="How many people.")] = 2000,
    views: Annotated[int, typer.Option(min=1, help="Pictures of each, in other poses, places and light.")] = 4,
    places: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Pictures without people, as backgrounds.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    real_poses: Annotated[float, typer.Option(min=0, max=1, help="Share of views in a real person's pose.")] = 0.5,
    weights: Weights = "embedded",
    layout: Annotated[
        Layout, typer.Option(help="shards, to train a generator; market1501, pictures for `anonymize evaluate reid`.")
    ] = "shards",
    cameras: Annotated[int, typer.Option(min=2, help="Of market1501: how many look at each person in turn.")] = 4,
) -> None:
    """Render people in several poses each, with exact masks and surface, or as several cameras see them."""
    if layout == "market1501":
        from anonymize.lab.synthesis.several_cameras import write_market1501

        written = write_market1501(output, people=people, views=views, cameras=cameras, seed=seed)
        typer.echo(f"{written} pictures written")
        return
    from anonymize.core.body_surface import load_surface
    from anonymize.detect.build import build_detector
    from anonymize.lab.train.bank import load_backgrounds
    from anonymize.lab.train.dataset import build_rendered, table_of

    surface = load_surface()
    table = table_of(build_detector(weights), surface)
    backgrounds = load_backgrounds(places) if places else []
    count = build_rendered(
        output, table, surface, backgrounds, people=people, views=views, seed=seed, real_share=real_poses
    )
    typer.echo(f"{count} pictures written")
