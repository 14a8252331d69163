"""Options that several commands share, in groups: a command takes a group as one parameter. Nothing here imports what runs, so that `--help` is quick."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

NAME_VALUE = "NAME=VALUE"


@dataclasses.dataclass(frozen=True)
class MarketOptions:
    """What is known of the instruments."""

    tick_size: Annotated[
        str | None,
        typer.Option(help="Tick in price units, such as 0.25. Default: from the definitions, else inferred from the data, which is then read twice."),
    ] = None
    definitions: Annotated[list[Path] | None, typer.Option(help="DBN file of schema definition; may be repeated.")] = None
    instruments: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B,…", help="Symbols or ids to trade, in the order in which the strategy indexes them. Others are skipped; may be repeated."),
    ] = None


Status = Annotated[list[Path] | None, typer.Option(help="DBN file of schema status: auctions, halts, the end of a session; may be repeated.")]


@dataclasses.dataclass(frozen=True)
class ViewOptions(MarketOptions):
    """What a session is looked at with."""

    status: Status = None


@dataclasses.dataclass(frozen=True)
class TapeOptions(MarketOptions):
    """What a tape is made with."""

    multiplier: Annotated[float | None, typer.Option(help="Currency per price unit and lot. Default: from the definitions. A run needs it.")] = None
    feed_time: Annotated[
        Literal["received", "sent"] | None, typer.Option(help="The feed's latency is added to the time at which a record was received (default), or sent.")
    ] = None


@dataclasses.dataclass(frozen=True)
class RunOptions(TapeOptions):
    """What a run is made with: as on the command line, so in a file."""

    status: Status = None
    latency: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME | NAME=TIME",
            help="Such as 100us for entry and response, or feed=…, entry=…, modify=…, cancel=…, response=…, messages_max=…; may be repeated. A time may vary: "
            "log_normal(median=80us, sigma=0.5), gamma(mean=80us, shape=2), from_feed(shift=-20us), table(FILE). Default: the strategy's own, else 0.",
        ),
    ] = None
    fee: Annotated[
        list[str] | None,
        typer.Option(metavar=NAME_VALUE, help="maker=…, taker=… per lot, or with unit=bps in basis points; negative is a rebate. By instrument: --config."),
    ] = None
    limit: Annotated[list[str] | None, typer.Option(metavar=NAME_VALUE, help="Such as position_max=10, loss_max=5000: the fields of tapeline.Limits.")] = None
    fill_rule: Annotated[list[str] | None, typer.Option(metavar=NAME_VALUE, help="Such as crossing=off: the fields of tapeline.FillRules.")] = None
    queue: Annotated[str | None, typer.Option(metavar="MODEL", help="Queue model, --fill-rule queue=MODEL: exact, none, or an estimator such as power2.")] = (
        None
    )
    start: Annotated[str | None, typer.Option(metavar="TIME", help="UTC, such as 2023-12-26T14:30: until then books are kept, and strategies sleep.")] = None
    end: Annotated[str | None, typer.Option(metavar="TIME", help="UTC: the run ends; nothing that was received from then on is read.")] = None
    day_starts: Annotated[
        str | None, typer.Option(metavar="TIME", help="When days begin, for statistics: such as '17:00 America/Chicago'. Default: midnight, UTC.")
    ] = None
    explain: Annotated[bool | None, typer.Option("--explain/--no-explain", help="Record what happens in front of each order, for tapeline explain.")] = None
    config: Annotated[Path | None, typer.Option(metavar="TOML", help="A file of settings; options on the command line override it.")] = None


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option per field of each group among its parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        fields = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=fields[field.name])
            for field in dataclasses.fields(groups[name])
        ]

    @wraps(command)
    def call(**given: Any) -> None:
        made = {name: group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)}) for name, group in groups.items()}
        command(**given, **made)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
