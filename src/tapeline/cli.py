"""The command line: parse, call, print. What commands do is in the modules that they import when they run, so that `--help` is quick."""

import io
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from tapeline import terminal
from tapeline.options import MarketOptions, RunOptions, TapeOptions, ViewOptions, grouped
from tapeline.terminal import EXIT_CODES, Exit

app = typer.Typer(
    help=f"Tapeline backtests high-frequency strategies on market-by-order data.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[list[Path], typer.Argument(help="DBN files (.dbn, .dbn.zst), in order, as one input; or a tape of them.", show_default=False)]
StrategyName = Annotated[str, typer.Argument(metavar="STRATEGY", help="file.py:Class or module:Class.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the strategy; may be repeated.")]
Engine = Annotated[
    Literal["compiled", "reference"] | None,
    typer.Option(help="Default: compiled. The reference engine is plain Python: slow, and readable.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout; everything else goes to stderr.")]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show where an error was raised.")]


def main() -> None:
    """Entry point of the command `tapeline`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops a job means Ctrl-C: what was computed is saved, and nothing half written stays
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a terminal that knows no dash is no reason to lose a table
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where it can be told that nothing was written
    except OSError as error:  # of help, and of what was left to be written: commands tell of their own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # lest Python tries again as it ends, and ends with 120
        code = getattr(error.__context__, "code", 0)  # a command's that has told
        if not code:
            sys.stderr.write(f"error: {error.strerror}\n")
        raise SystemExit(code or Exit.USAGE) from None
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):  # likewise, and Typer says 1
            leaving.code = Exit.PIPE
        raise


@app.command()
@grouped
def run(
    strategy: StrategyName,
    data: Data,
    parameters: Set = None,
    engine: Engine = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to save the result. Default: tapeline-runs/CLASS-TIME.")] = None,
    *,
    options: RunOptions,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep the result on disk.")] = True,
    profile: Annotated[bool, typer.Option("--profile", help="Run its stages by themselves besides, four times: what does each take per record?")] = False,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Backtest a strategy, print its statistics and save the result."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands, load, settings

        chosen = load.load_strategy(strategy)
        instance, given = settings.of_run(chosen, options, parameters or ())
        given |= {"engine": engine} if engine else {}
        place = commands.place_of(output, chosen.__name__) if save else None  # looked at before hours are spent
        if profile:
            from tapeline.bench import stages

            stages.check_engine(given)  # likewise
        with terminal.progress_bar(chosen.__name__) as progress:
            result, error = commands.backtest(instance, data, given, progress)
        if result is not None:
            saved, unsaved = commands.save(result, place)  # before what may be interrupted yet
            is_whole = error is None and not result.manifest.get("interrupted")
            lines = commands.profile(instance, data, given) if profile and is_whole else None
            commands.show_result(result, saved, lines, as_json=as_json)
            if unsaved is not None:
                terminal.fail(unsaved, with_traceback=traceback)
        if error is not None:
            terminal.fail(error, with_traceback=traceback)
        if result is not None and result.manifest.get("interrupted"):
            terminal.err.print("interrupted: the result is of all before")
            raise typer.Exit(Exit.INTERRUPTED)


@app.command()
def demo(
    records: Annotated[int, typer.Option("-n", "--records", help="Size of the simulated session.", min=1)] = 1_000_000,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the report.")] = Path("tapeline-runs/demo.html"),
    *,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Simulate a session, run a market maker and a taker on it, print what came out, and write the report."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands
        from tapeline.demo import NEXT_STEPS, run_demo

        terminal.err.print(f"simulating a session of {records:,} records …")
        with terminal.progress_bar("demo") as progress:
            result = run_demo(records, output, progress)
        commands.show_result(result, None, None, as_json=as_json)
        if not as_json:
            terminal.out.print(NEXT_STEPS, soft_wrap=True)
            terminal.out.print(f"\nthe report, to be opened in a browser: {output.absolute()}", soft_wrap=True)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Directories of saved results; several are compared on one page.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")] = Path("report.html"),
    *,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Write one HTML page about saved runs: whether they work, why, and whether to believe it."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands

        commands.show(commands.write_report(output, runs), as_json=as_json)


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a saved result.", show_default=False)],
    order: Annotated[int, typer.Argument(metavar="ORDER", help="Number of the order in its strategy.", show_default=False)],
    strategy: Annotated[str | None, typer.Option(help="Label of the strategy, if the run had several.")] = None,
    *,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Tell an order's life: how the queue in front of it fell, what filled it and by which rule, or why nothing did."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline.result import Result

        life = Result.load(run).explain(order, strategy)
        if as_json:
            terminal.print_json(life.to_dict())
        else:
            terminal.out.print(repr(life), soft_wrap=True)


@app.command()
@grouped
def view(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DATA… [RUN]", help="Files in order, or a tape; the directory of a saved run. RUN alone: its data.", show_default=False),
    ],
    strategy: Annotated[str | None, typer.Option(help="Label of the strategy to show, if the run had several. Default: all.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on, of this machine only. 0: any that is free.", min=0, max=65535)] = 0,
    *,
    options: ViewOptions,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the desktop's browser, if there is one.")] = True,
    traceback: Traceback = False,
) -> None:
    """Scrub through a session event by event: ladder, trades, features, your orders with their place in the queue. Ctrl-C ends it."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands, settings

        commands.view(paths, strategy, port, browser=browser, **settings.of_market(options))


@app.command()
@grouped
def depth(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .parquet or .csv.", show_default=False)],
    levels: Annotated[int, typer.Option(help="Price levels on each side.", min=1)] = 10,
    every: Annotated[str, typer.Option(help="'event': a line per change of these levels; or a time such as 1s.")] = "event",
    *,
    options: MarketOptions,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Rebuild the book and write its levels in the columns of Databento's mbp-10."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands, settings

        written, damage = commands.write_depth(output, data, levels=levels, every=every, **settings.of_market(options))
        commands.show(written, as_json=as_json)
        if damage is not None:
            terminal.fail(damage, with_traceback=traceback)


@app.command()
def dbn(
    source: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Nasdaq's ITCH 5.0 (plain, .gz or .zst); a message file of LOBSTER's, with the order-book file beside it, or a .zip of both; or rows: CSV "
            "(.csv, .csv.gz, .csv.zst) or Parquet files, in order.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .dbn or .dbn.zst.", show_default=False)],
    instruments: Annotated[list[str] | None, typer.Option(metavar="A,B,…", help="ITCH: symbols to keep; may be repeated. Default: all of the day.")] = None,
    date: Annotated[str | None, typer.Option(metavar="DATE", help="ITCH: the day, such as 2020-01-30, where the file's name does not tell it.")] = None,
    status: Annotated[Path | None, typer.Option(help="ITCH, LOBSTER: a second file to write, DBN of schema status, with halts and resumptions.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Rows: of the only instrument, where they do not name it.")] = None,
    price_unit: Annotated[str | None, typer.Option(help="Rows: what 1 is worth where prices are whole numbers, such as 0.0001.")] = None,
    lot: Annotated[str | None, typer.Option(help="Rows: sizes are counted in it, such as 0.00000001 of a coin. Default: 1.")] = None,
    *,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Make DBN of other data: a day of Nasdaq's ITCH, LOBSTER's files, or a table with a row per record of Databento's schema mbo. More: docs/guide.md."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands, settings

        chosen = settings.names_in(instruments) if instruments else None
        given = {"instruments": chosen, "date": date, "status": status, "symbol": symbol, "price_unit": price_unit, "lot": lot}
        with terminal.progress_bar(f"dbn {output.name}") as progress:
            written = commands.make_dbn(output, source, progress, **given)
        commands.show(written, as_json=as_json)


@app.command()
def merge(
    data: Annotated[list[Path], typer.Argument(metavar="FILE…", help="DBN files of the same time, of different instruments.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .dbn or .dbn.zst.", show_default=False)],
    *,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Make one DBN file of several of the same time, such as one per instrument or venue: records in the order in which they were received."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands

        with terminal.progress_bar(f"merge {output.name}") as progress:
            written = commands.merge(output, data, progress)
        commands.show(written, as_json=as_json)


@app.command()
@grouped
def tape(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, such as day.tape.", show_default=False)],
    *,
    options: TapeOptions,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Normalise data once and keep it: every command takes a tape where it takes DBN, with the same results, and sooner."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands, settings

        with terminal.progress_bar(f"tape {output.name}") as progress:
            written = commands.make_tape(output, data, progress, **settings.of_market(options))
        commands.show(written, as_json=as_json)


@app.command()
@grouped
def features(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .parquet or .csv.", show_default=False)],
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", metavar="NAME", help="Such as microprice; file.py:Class is one of your own. Default: all that Tapeline knows."),
    ] = None,
    every: Annotated[str, typer.Option(help="'event': a line per event; or a time such as 1s.")] = "event",
    *,
    options: MarketOptions,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Write features of the book and of what happened in it, one column each. What there is: docs/reference.md."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands, settings

        written, damage = commands.write_features(output, data, feature, every=every, **settings.of_market(options))
        commands.show(written, as_json=as_json)
        if damage is not None:
            terminal.fail(damage, with_traceback=traceback)


@app.command()
@grouped
def check(
    data: Data,
    gap: Annotated[str, typer.Option(help="Tell times of this length without a record.")] = "60s",
    *,
    options: MarketOptions,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Say what is in the data, when, and what is odd about it. Exit code 3 if it is damaged."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands, settings
        from tapeline.check import check as look

        with terminal.told_of_compiling():
            found = look(data, gap=gap, **settings.of_market(options))
        if as_json:
            terminal.print_json(found.to_dict())
        else:
            commands.show_check(found)
        if found.damage is not None:
            raise typer.Exit(Exit.DATA)


@app.command()
def synth(
    records: Annotated[int, typer.Option("-n", "--records", help="Records to write, besides the snapshot at the start.", min=0, show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .dbn or .dbn.zst.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Equal seeds make equal files.", min=0)] = 0,
    instruments: Annotated[int, typer.Option(help="How many.")] = 1,
    live_orders: Annotated[int, typer.Option(help="Orders in all books together, about.")] = 10_000,
    price: Annotated[str, typer.Option(help="Where prices start.")] = "4800",
    tick: Annotated[str, typer.Option(help="Tick, in price units.")] = "0.25",
    gap_scale: Annotated[float, typer.Option(help="Times between events, as a multiple of those of a quiet hour of ES: 0.01 is a busy one.")] = 1.0,
    start: Annotated[str, typer.Option(help="When the session begins, UTC: sessions that follow each other are the days of one run.")] = "2024-01-02T23:00",
    *,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Simulate a market and write its records as DBN."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands
        from tapeline.heat import to_ns

        shape: dict[str, object] = {"seed": seed, "instruments": instruments, "live_orders": live_orders, "price": price, "tick": tick, "gap_scale": gap_scale}
        shape["start_ns"] = to_ns(start, "--start")
        commands.show(commands.synthesise(output, records=records, **shape), as_json=as_json)


@app.command()
@grouped
def verify(
    strategy: StrategyName,
    data: Data,
    parameters: Set = None,
    *,
    options: RunOptions,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Run a strategy through the compiled and the reference engine and name the first event in which they differ. Exit code 1 if they do."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import load, settings
        from tapeline.verify import verify as compare_engines

        chosen = load.load_strategy(strategy)
        instance, given = settings.of_run(chosen, options, parameters or ())
        given.pop("engine", None)  # both are run
        with terminal.progress_bar(f"verify {chosen.__name__}") as progress:
            found = compare_engines([instance], data, progress=progress, **given)
        if as_json:
            terminal.print_json(found.to_dict())
        else:
            terminal.out.print(str(found), soft_wrap=True)
        if not found.is_equal:
            raise typer.Exit(Exit.DIFFERENCE)


@app.command()
def bench(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds instead of minutes: a self-check; its times mean little.")] = False,
    records: Annotated[int | None, typer.Option("-n", "--records", help="Size of each stream.", min=10_000)] = None,
    real: Annotated[Path | None, typer.Option(metavar="DBN", help="A real session that is tiled to that size and timed, too.")] = None,
    compare: Annotated[Path | None, typer.Option(metavar="JSON", help="What an earlier --json printed: tell what changed by more than the spread.")] = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Time Tapeline on this machine against the floor: streaming the same records and reading four fields. Exit code 1 if what was timed is wrong."""
    with terminal.reporting(with_traceback=traceback):
        from tapeline import commands

        report, changes = commands.run_bench(quick=quick, n_records=records, real=real, baseline=compare)
        if as_json:
            terminal.print_json({**vars(report), "changes": changes})
        else:
            commands.show_bench(report, changes)
        if not report.is_right:
            raise typer.Exit(Exit.DIFFERENCE)


@app.command()
def version(*, as_json: AsJson = False) -> None:
    """Print the version of Tapeline and of what it runs on."""
    from tapeline import commands, manifest

    with terminal.reporting(with_traceback=False):
        commands.show(manifest.versions(), as_json=as_json)
