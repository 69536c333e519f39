"""The `vadkit` command. What is heavy is imported by the commands that need it.

Exit codes: 0 done (of a watch: its sources are over), 1 a notebook failed, 2 something must be mended first, 130
interrupted (of a watch: its end in order).
"""

import difflib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from vadkit import __version__
from vadkit.core.disk import refusal, write_atomic
from vadkit.core.errors import ConfigError, DataError, VadkitError, few, shown

COUNT = click.IntRange(min=1)
SMOOTHING = ("raw", "causal-mean", "gaussian", "video-mean")  # evaluation.smoothing.HOW


def say(text: str) -> None:
    """Print what may hold names of files and what they hold."""
    print(shown(text), flush=True)


class Commands(click.Group):
    """A group that answers a mistyped command with the nearest one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"the commands are {', '.join(self.commands)}"
            ctx.fail(f"no command '{args[0]}'; {hint}")
        return super().resolve_command(ctx, args)


def overrides(context: click.Context, option: click.Parameter, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The values of repeated `-p KEY VALUE`. Raises ConfigError for a key given twice."""
    from vadkit.core.parameters import parse_override

    values: dict[str, Any] = {}
    for name, text in pairs:
        if name in values:
            raise ConfigError(f"-p {name} is given twice; give it once")
        values[name] = parse_override(name, text)
    return values


def parameter_option(what: str) -> Callable:
    """The option `-p KEY VALUE`, which a command takes as the dictionary `parameters`."""
    names, kind = ("-p", "--parameter", "parameters"), {"type": (str, str), "multiple": True, "metavar": "KEY VALUE"}
    return click.option(*names, **kind, callback=overrides, help=what)


def with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    """The argument PARAMS and the option `-p KEY VALUE`."""
    option = parameter_option("Replace a parameter; may be repeated.")
    return click.argument("params", metavar="PARAMS")(option(command))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vadkit", message="%(prog)s %(version)s")
def app() -> None:
    """A reproducibility workbook for video anomaly detection.

    PARAMS is a parameter file, such as params/demo.yaml, or a profile's name, such as demo.
    """


@app.command()
@with_parameters
@click.option("--only", metavar="02,03", help="Run these notebooks alone.")
@click.option("--from", "from_", metavar="06", help="Run this notebook and later ones.")
@click.option("--force", is_flag=True, help="Run also what is current.")
@click.option("--solutions", is_flag=True, help="Run the exercises' worked solutions instead, after the series.")
def run(
    params: str, parameters: dict[str, Any], only: str | None, from_: str | None, force: bool, solutions: bool
) -> None:
    """Run the notebooks in order, skipping what is current."""
    from vadkit.workbook.kernels import on_signals
    from vadkit.workbook.run import run_profile

    with on_signals(signal.default_int_handler):  # however it is ended, the kernel and its workers go too
        sys.exit(run_profile(params, parameters, only, from_, force, solutions, say=say))


@app.command()
@with_parameters
def check(params: str, parameters: dict[str, Any]) -> None:
    """Say whether a run can work: parameters, data, weights."""
    from vadkit.core.config import project_root
    from vadkit.workbook import checks
    from vadkit.workbook.notebooks import find_notebooks
    from vadkit.workbook.run import open_profile

    _, config = open_profile(params, parameters)
    count = len(type(config).model_fields)
    say(f"parameters: {count} checked, profile {config.profile}, fingerprint {config.fingerprint()}")
    found = checks.findings(config, find_notebooks(project_root() / "notebooks"))
    for finding in found:
        say(f"{'MISSING ' if finding.problem else ''}{finding.what}")
    problems = sum(finding.problem for finding in found)
    if problems:
        raise ConfigError(f"{problems} thing{'s' * (problems > 1)} to mend before a run")
    say("all is there")


@app.command()
@with_parameters
@click.option("--all", "every", is_flag=True, help="List every problem, not the first twenty alone.")
def data(params: str, parameters: dict[str, Any], every: bool) -> None:
    """Count the videos per split and class; say what is missing and where it comes from."""
    from vadkit.core.config import resolve
    from vadkit.corpora import load_corpus
    from vadkit.workbook import checks
    from vadkit.workbook.run import open_profile

    _, config = open_profile(params, parameters)
    say(f"corpus {config.corpus}: {checks.COME_FROM.get(config.corpus, checks.OTHERS)}")
    if config.corpus == "synthetic":
        say(f"training and validation: {config.world_train_videos} videos, half of them anomalous")
        say(f"test: {config.world_test_videos} videos, half of them anomalous")
        return
    say(f"data_root: {resolve(config.data_root)}")
    for line in checks.describe(load_corpus(config), *([sys.maxsize] if every else [])):
        say(line)


@contextmanager
def ended_in_order() -> Iterator[Callable[[], bool]]:
    """Says whether Ctrl-C was pressed, or an end asked for; a second time it ends at once."""
    from vadkit.workbook.kernels import on_signals

    interrupted = []

    def interrupt(*signal_and_frame: Any) -> None:
        if interrupted:
            raise KeyboardInterrupt
        interrupted.append(1)

    with on_signals(interrupt):
        yield lambda: bool(interrupted)


def with_model(command: Callable[..., None]) -> Callable[..., None]:
    """Which trained model: a run's folder, a system, a seed."""
    options = [
        click.option("--run", "folder", required=True, metavar="FOLDER", help="A run's results, outputs/<profile>."),
        click.option("--system", default="2S-bag-ha", show_default=True, help="One of its trained systems."),
        click.option("--seed", default=0, show_default=True, help="One of its seeds."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@app.command()
@click.argument("videos", metavar="VIDEO...", nargs=-1, required=True)
@with_model
@click.option("--overlay", metavar="OUT.mp4", help="Write the video with scores, detections and alarms.")
@click.option("--csv", "table", metavar="OUT.csv", help="Write a line for each analysed frame.")
@click.option("--summary", metavar="OUT.csv", help="Write a line for each video.")
@click.option("--camera", metavar="NAME", help="With the threshold that `vadkit calibrate` stored for it.")
@parameter_option("Change what scoring may, such as sas_tau or flow_method.")
def score(videos: Sequence[str], folder: str, camera: str | None, parameters: dict[str, Any], **given: Any) -> None:
    """Score VIDEO, a file, a stream's URL or a camera's number, with a trained system.

    Of several files, or a folder of them, --overlay and --csv are folders for a file each. Ctrl-C ends it in order:
    what was scored is kept.
    """
    from vadkit.live import calibration, many
    from vadkit.live import score as live
    from vadkit.systems import record

    films, tables, summary = (given.pop(name) for name in ("overlay", "table", "summary"))
    found, find = many.videos_of(videos), partial(record.find_model, folder, given["system"], given["seed"])
    trained, summary = find(found[0]), live.writable(summary, found[0], ".csv")
    options: dict[str, Any] = {"config": trained.changed(parameters)} if parameters else {}
    if camera is not None:
        options["calibration"] = calibration.calibrated(folder, camera, trained)
        if options["calibration"] is None:
            remedy = f"say `vadkit calibrate SOURCE --run {folder} --camera {camera}` first"
            raise ConfigError(f"{folder} has no calibration of a camera {camera} by {trained.system.name}; {remedy}")
    with ended_in_order() as stopped:
        if [*videos] == found and len(found) == 1 and summary is None:
            verdict = live.score(found[0], trained, films, tables, stopped=stopped, **options)
            say("\n".join(live.describe(verdict, trained, films, tables)))
            if verdict.broken:
                kept = "; what was written of them is kept" if films or tables else ""
                raise DataError(f"{verdict.broken}\n  the verdict is on the {verdict.frames} frames before that{kept}")
            return
        lines = many.score_each(found, find, say, films, tables, stopped=stopped, **options)
    import pandas as pd

    page = pd.DataFrame(lines)
    if summary is not None:
        write_atomic(summary, page.to_csv(index=False, float_format="%.6g"))
    say(page.drop(columns=["unlike"], errors="ignore").to_string(index=False, na_rep="", max_colwidth=60))
    if failed := [line["video"] for line in lines if line["error"]]:
        raise DataError(f"{len(failed)} of {len(found)} videos failed: {', '.join(few(failed, 5))}")


@app.command()
@click.argument("source", metavar="SOURCE")
@with_model
@click.option("--minutes", type=click.FloatRange(1), default=10.0, show_default=True, help="Of normal footage.")
@click.option("--false-alarms-an-hour", "an_hour", type=float, default=0.1, show_default=True, help="Wanted.")
@click.option("--camera", metavar="NAME", help="What to store it under; else as `vadkit watch` calls the source.")
@parameter_option("Change what scoring may, such as sas_tau or flow_method.")
def calibrate(source: str, folder: str, camera: str | None, parameters: dict[str, Any], **given: Any) -> None:
    """Choose the alarm threshold of one camera from normal footage of it.

    SOURCE is a file, a stream's URL or a camera's number, or NAME=SOURCE; a file takes as long as it decodes. Nothing
    abnormal may happen in it. `vadkit watch` takes what is stored beside the run; so does `vadkit score --camera NAME`.
    """
    from vadkit.live import calibration
    from vadkit.live import score as live
    from vadkit.live.source import named, names_of
    from vadkit.systems import record

    trained = record.find_model(folder, given.pop("system"), given.pop("seed"), source)
    config = trained.changed(parameters) if parameters else None
    with ended_in_order() as stopped:
        found, verdict = calibration.calibrate(named(source)[0], trained, config=config, stopped=stopped, **given)
    say("\n".join(live.describe(verdict, trained)[:-1]))
    say(f"written: {calibration.write(folder, camera or names_of([source])[0], found)}")
    say(f"{found.note}; with the threshold of training {found.alarms_before} began there")


@app.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@with_model
@click.option("--folder", "out", metavar="OUT", help="Where events go; else <run>/watch.")
@click.option("--fps", type=click.FloatRange(0.1, 60), help="Analysed frames a second; else the training's.")
@click.option("--webhook", metavar="URL", help="POST every event there; VADKIT_WEBHOOK_SECRET signs it.")
@click.option("--email", metavar="TO", help="Mail every event, by VADKIT_SMTP_URL.")
@click.option("--mqtt", metavar="HOST[:PORT]", help="Publish every event; VADKIT_MQTT_USER, VADKIT_MQTT_PASSWORD.")
@click.option("--serve", metavar="HOST:PORT", help="A live page, such as 127.0.0.1:8000; else VADKIT_PAGE_TOKEN.")
@parameter_option("Change what scoring may, such as sas_tau or flow_method.")
def watch(
    sources: tuple[str, ...], folder: str, system: str, seed: int, out: str | None, fps: float | None,
    webhook: str | None, email: str | None, mqtt: str | None, serve: str | None, parameters: dict[str, Any],
) -> None:  # fmt: skip
    """Watch cameras, and tell of alarms.

    SOURCE is a stream's URL (RTSP, HTTP, UDP), a camera's number, or a file, which is played in real time; several are
    watched at once. NAME=SOURCE gives a camera a name, by which its calibration is found. Ctrl-C ends it in order: exit
    code 130; 0 where every source is over.
    """
    from vadkit.live import watch as live
    from vadkit.live.calibration import calibrated
    from vadkit.live.familiarity import familiarity_of
    from vadkit.live.page import Page
    from vadkit.live.sinks import sinks_of
    from vadkit.live.source import names_of
    from vadkit.systems import record

    trained, names = record.find_model(folder, system, seed), names_of(sources)
    config = trained.changed(parameters) if parameters else None
    place = Path(out) if out else Path(folder) / "watch"
    tuned = {name: found for name in names if (found := calibrated(Path(folder), name, trained))}
    screen, page = live.Screen(say), None
    sinks = sinks_of(webhook, email, mqtt, names, screen.say)
    try:
        if serve:
            host, _, port = serve.rpartition(":")
            if not port.isdigit():
                raise ConfigError(f"--serve {serve}: expected HOST:PORT, such as 127.0.0.1:8000")
            page = Page(host, int(port), place, os.environ.get("VADKIT_PAGE_TOKEN"))
            say(f"live page: {page.url}")
        say(f"{system} seed {seed} watches {', '.join(names)}; events in {place}")
        given = {"fps": fps, "config": config, "sinks": sinks, "page": page, "calibrations": tuned}
        given |= {"familiarity": lambda: familiarity_of(trained), "say": screen.say, "show": screen.show}
        with ended_in_order() as stopped:
            ended = live.watch(sources, trained, place, stopped=stopped, **given)
    finally:
        for sink in sinks:
            sink.close(live.CLOSING_SECONDS)
        if page is not None:
            page.close()
    say("ended by hand" if ended == "user" else "every source is over")
    sys.exit(130 if ended == "user" else 0)


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `evaluation.external.read` and `smoothing.smoothed` may be told."""
    option = click.option
    options = [
        option("--dataset", metavar="NAME", help="ucf-crime or xd-violence: its test videos, without other files."),
        option("--annotations", metavar="FILE", help="Of other videos: <video> <class> start end ..., or .npy labels."),
        option("--every", type=COUNT, metavar="N", help="Each score stands for N frames, such as 16."),
        option("--list", "order", metavar="FILE", help="The videos of one long array, in its order, one a line."),
        option("--frames", "lengths", metavar="FILE", help="CSV (name, frames) of true lengths."),
        option("--fps", type=float, help="Frame rate of the videos; else the data set's, or 30."),
        option("--slack", type=int, metavar="FRAMES", help="Lengths may differ so; else by a score's, at least 16."),
        option("--first-frame", type=int, metavar="N", help="Annotations count from it, ends included; else from 1."),
        option("--whole", is_flag=True, help="The one score that records give a video, over all of it."),
        option(
            "--smooth", "how", default="raw", type=click.Choice(SMOOTHING), help="gaussian, video-mean: see the future."
        ),
        option("--seconds", type=float, help="Width of --smooth; else 5 s of causal-mean, 10 scores of gaussian."),
        option("--resamples", type=COUNT, default=1000, show_default=True, help="Of videos, for the intervals."),
    ]
    for one in reversed(options):
        command = one(command)
    return command


@app.command()
@click.argument("scores", metavar="SCORES")
@reading_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a page.")
@click.option("--leave-out", is_flag=True, help="Go on without the videos at fault, naming each.")
def evaluate(scores: str, as_json: bool, resamples: int, how: str, seconds: float | None, **reading: Any) -> None:
    """Anybody's scores through our evaluator.

    SCORES is a file or folder: a score for each frame, or each --every N (.npy, .mat, .json, .csv, one a video, or one
    long .npy with --list); a table of equal segments (name, class where given, frames, scores); scores at frames
    (video, frame, score); of events (video, start, end, score); or a folder of what `vadkit score --csv` writes.
    """
    from vadkit.core.parameters import make_config
    from vadkit.evaluation import external
    from vadkit.report import external_report

    config, how = make_config({"bootstrap_resamples": resamples}), how.replace("-", " ")
    given = external.read(scores, **reading)
    write = external_report.as_json if as_json else external_report.as_text
    say(write(given, external_report.evaluate(given, config, how, seconds=seconds), config, how))


@app.command()
@click.argument("a", metavar="A", type=click.Path(path_type=Path))
@click.argument("b", metavar="B", type=click.Path(path_type=Path))
@reading_options
def compare(a: Path, b: Path, resamples: int, how: str, seconds: float | None, **reading: Any) -> None:
    """What differs between two runs, or between the scores of two systems.

    A and B are folders of results (outputs/<profile>), of which the rows that differ are printed; or scores as
    `vadkit evaluate` takes them, of which every metric is compared on the videos that both have.
    """
    from vadkit.core.parameters import make_config
    from vadkit.evaluation import external
    from vadkit.report import external_report, same_rows

    if all((path / "results.csv").is_file() or path.name == "results.csv" for path in (a, b)):
        say(same_rows.report(a, b)[0])
        return
    config, how = make_config({"bootstrap_resamples": resamples}), how.replace("-", " ")
    given = [external.read(path, **reading, leave_out=True) for path in (a, b)]
    say(external_report.compare(*given, config, how, seconds=seconds))


@app.group(cls=Commands)
def features() -> None:
    """Make features that the parameter mil_published takes."""


@features.command()
@click.argument("source", metavar="SOURCE")
@click.option("--out", required=True, metavar="FOLDER", help="A new folder for <video>.npy.")
@click.option("--also", metavar="SOURCE", help="A second source; what it describes is taken from it.")
@click.option("--dimensions", type=COUNT, default=1024, show_default=True, help="Numbers a row, of truncated SVD.")
def text(source: str, out: str, also: str | None, dimensions: int) -> None:
    """Sentences about UCF-Crime's videos as features, a row for each 16 frames.

    SOURCE is a clone of UCA, or a folder of captions, <video>.json each, {frame: caption}. Fitted on training videos.
    """
    from vadkit.views import text_features

    made = text_features.write(source, out, dimensions, also)
    say("\n".join(made.notes))
    of = f"{made.videos['train']} training and {made.videos['test']} test videos"
    say(f"{out}: {made.rows} rows of {dimensions} numbers, of {of}")
    fitted = f"{made.sentences} sentences about training videos, of {made.words} words"
    say(f"fitted on {fitted}; {100 * made.variance:.0f} % of their variance is kept")


@app.command("params")
def params_() -> None:
    """List every parameter with its default."""
    from vadkit.core.config import Config

    width = max(len(name) for name in Config.model_fields)
    for name, field in Config.model_fields.items():
        print(f"{name:<{width}}  {field.default!r:<22} {field.description}")


@app.command()
def sync() -> None:
    """Renew the notebooks' parameters cells from the package's parameters."""
    from vadkit.core.config import project_root
    from vadkit.workbook.notebooks import renew_parameters_cells

    changed = renew_parameters_cells(project_root() / "notebooks")
    say("\n".join(f"renewed {path.name}" for path in changed) or "all parameters cells are current")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a user's error is one line on stderr and exit code 2."""
    try:
        app.main(args=None if arguments is None else list(arguments), prog_name="vadkit", standalone_mode=False)
        sys.stdout.flush()  # into a file on a full disk it fails here
        return
    except VadkitError as error:
        said, code = f"error: {error}", 2
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "vadkit"
        said, code = f"error: {error.format_message()}\nSee `{command} --help`.", 2
    except (KeyboardInterrupt, click.exceptions.Abort):
        said, code = "\ninterrupted; the same command goes on from here", 130
    except BrokenPipeError:  # `vadkit params | head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        said, code = refusal(error, error.filename or "what is printed"), 2
        if not said and error.filename is None:
            raise
        said = f"error: {said or f'{shown(error.filename, 300)}: {error.strerror}; give another path, or mend that'}"
        sys.stdout = None  # what is left to print would be tried again, and fail, at the very end
    print(shown(said), file=sys.stderr)
    sys.exit(code)
