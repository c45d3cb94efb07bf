"""python -m poolsearch ...: the same engine without a screen. `--json` gives one JSON document instead of the table.

Exit codes: 0 done, 1 negative result, 2 invalid request, 75 busy, 130 interrupted.
"""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from poolsearch.cli import run as cli_run, sweep as cli_sweep
from poolsearch.cli.command import Json, refusing, say, show

Host = Annotated[str, typer.Option(help="the address to listen on")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="or the next free one of ten")]
Remote = Annotated[bool, typer.Option("--allow-remote", help="listen to other machines; there are no logins")]
Allowed = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="a name that the app answers to beside localhost")
]
app = typer.Typer(help="See how a CNN throws pixels away.", no_args_is_help=True, add_completion=False)
app.add_typer(cli_sweep.app, name="sweep")
app.command("run")(refusing(cli_run.run))


@app.command()
@refusing
def sites(
    backbone: Annotated[str, typer.Argument(help="as in resnet18 or resnet18/3x64x64")], as_json: Json = False
) -> None:
    """List the places where a backbone throws pixels away."""
    from poolsearch.cli.tables import console, sites_table
    from poolsearch.networks.backbones import published
    from poolsearch.surgery import find_sites

    plan = published(backbone)
    found = find_sites(plan)
    if as_json:
        rows = [
            {
                "site": site.name, "role": site.role, "published": site.main.text, "channels": site.channels,
                "in": site.before, "out": site.after, "locked": site.locked or None,
                "members": [{"path": m.path, "published": m.text} for m in site.members],
            }
            for site in found
        ]  # fmt: skip
        return show({"backbone": str(plan), "sites": rows})
    return console().print(sites_table(f"{len(found)} sites of {plan}", found))


@app.command()
@refusing
def cost(
    plan: Annotated[str, typer.Argument(help='as in "resnet18/3x64x64: stem=avg k2 s2"')], as_json: Json = False
) -> None:
    """Show what each layer of a Plan costs, and the totals against the published network. Nothing is computed."""
    from poolsearch.cli.tables import console, layers_table, totals_table
    from poolsearch.measure.cost import layer_rows, totals
    from poolsearch.networks.backbones import published
    from poolsearch.plan import Plan
    from poolsearch.surgery import check, replayed

    wanted = check(Plan.parse(plan) if "/" in plan else published(plan))
    rows = layer_rows(wanted)
    mine, theirs = totals(rows), totals(layer_rows(wanted.published))
    if as_json:
        return show(
            {
                "plan": str(wanted),
                "layers": [{**asdict(row), "intensity": row.intensity} for row in rows],
                "totals": asdict(mine),
                "published": asdict(theirs),
            }
        )
    console().print(layers_table(str(wanted), rows))
    console().print(totals_table(mine, theirs))
    for sentence in replayed(wanted).consequences:
        console().print(sentence)
    return None


@app.command()
@refusing
def poolings(
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the docs page.")] = False,
) -> None:
    """List every kind of pooling: formula, what it takes, options, source, cost, what to know."""
    from poolsearch.cli.tables import console, kinds_markdown, kinds_table
    from poolsearch.plan.costs import measured
    from poolsearch.plan.kinds import KINDS

    if as_json:
        costs = {name: asdict(cost) for name, cost in measured().items()}
        return show([{"kind": name, **asdict(kind), "cost": costs.get(name)} for name, kind in KINDS.items()])
    if markdown:
        return say(kinds_markdown(KINDS), end="")
    return console().print(kinds_table(KINDS))


@app.command()
@refusing
def inventory(
    target: Annotated[str, typer.Argument(help="a .safetensors, .pt, .pth or .onnx file, a backbone, or a folder")],
    backbone: Annotated[str, typer.Option("--backbone", help="the backbone or Plan that the weights are of")] = "",
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as Markdown.")] = False,
) -> None:
    """List the poolings and parameters in a model file, a backbone, or each model file of a folder."""
    from poolsearch.cli.inventory import inventory_cells, inventory_lines, inventory_markdown
    from poolsearch.cli.tables import cells_table, console, differences_table
    from poolsearch.measure.inventory import inventory as look
    from poolsearch.records.modelfiles import Inventory

    found = look(target, backbone)
    wrong = found.differences if isinstance(found, Inventory) else ()
    if as_json:
        show(asdict(found) if isinstance(found, Inventory) else [asdict(row) for row in found])
    elif markdown:
        say(inventory_markdown(found), end="")
    else:
        if isinstance(found, Inventory):
            say("\n".join(inventory_lines(found)))
        if isinstance(found, Inventory) and found.differences:
            console().print(differences_table(found.plan, found.differences))
        elif not isinstance(found, Inventory) or found.poolings is not None:
            console().print(cells_table(*inventory_cells(found)))
    if wrong:
        raise typer.Exit(1)


@app.command()
@refusing
def rebuild(
    plan: Annotated[str, typer.Argument(help='as in "resnet18/3x224x224: stem=max-blur k3 s2 p1"')],
    out: Annotated[Path, typer.Option(help="safetensors file to write")],
    weights: Annotated[str, typer.Option(help="DEFAULT or a name of torchvision's, or a file; none: random")] = "",
    as_json: Json = False,
) -> None:
    """Write a Plan's network with published weights: every weight kept, only the poolings changed."""
    from poolsearch import files
    from poolsearch.cli.tables import console, differences_table
    from poolsearch.modelfiles import checkpoint
    from poolsearch.modelfiles.published import published_weights
    from poolsearch.modelfiles.weights import hint
    from poolsearch.networks.backbones import backbone
    from poolsearch.plan import Plan
    from poolsearch.surgery import check, rebuild as rebuilt
    from poolsearch.surgery.fitting import put_in
    from poolsearch.surgery.proving import prove
    from poolsearch.units import size

    files.must_be_writable(out)
    wanted = check(Plan.parse(plan))
    given = published_weights(wanted, weights) if weights else None
    if given is not None:
        bare = rebuilt(wanted.published, device="meta")
        if found := put_in(bare, given):
            console().print(differences_table(str(wanted.published), found))
            if words := hint(bare, given):
                say(words)
            raise typer.Exit(1)
    prove(wanted)
    classes = backbone(wanted.backbone).classes
    network = rebuilt(wanted, published=given)
    with files.in_words(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(network, wanted, classes, out)
    done = {"plan": str(wanted), "weights": weights or "random", "file": str(out), "bytes": out.stat().st_size}
    if as_json:
        return show(done)
    return console().print(f"{out}: {wanted}, weights {done['weights']}, {size(out.stat().st_size)}")


@app.command()
@refusing
def replay(
    study: str,
    number: int,
    device: Annotated[str, typer.Option(help="cpu or cuda; none: the kind of device that the trial ran on")] = "",
    as_json: Json = False,
) -> None:
    """Run a trial again: same Plan, seed and recipe; say how far the result is from the recorded one, and why."""
    from poolsearch.sweep.folder.folder import open_folder
    from poolsearch.sweep.running.replaying import replay_trial

    done = replay_trial(open_folder(study), number, device)
    recorded = {name: getattr(done.row, name) for name in ("accuracy", "loss")}
    if as_json:
        differs = {name: {"recorded": was, "now": now} for name, was, now in done.differs}
        found = {"recorded": recorded, "away": done.away, "same": done.same, "differs": differs}
        show({"plan": str(done.row.plan), **found, "environment": done.again["environment"], "verdict": done.verdict})
    else:
        say(f"trial {number} of {study}: {done.row.plan}")
        say(f"accuracy {100 * done.again['accuracy']:.2f} % (recorded {100 * recorded['accuracy']:.2f} %)")
        loss, away = recorded["loss"], done.away["loss"]
        say(f"validation loss {done.again['loss']:.6f} (recorded {loss:.6f}, away {away:+.2e})")
        say(done.verdict)
    if abs(done.away["accuracy"]) > 0.02:
        raise typer.Exit(1)


@app.command()
@refusing
def doctor(as_json: Json = False) -> None:
    """Say what is installed, which device there is, what will not work and the line that fixes it."""
    from poolsearch.cli.doctor import findings

    found = findings()
    if as_json:
        show([asdict(finding) for finding in found])
    else:
        say(f"Poolsearch on Python {platform.python_version()}, {platform.platform()}")
        for finding in found:
            say(
                f"{'ok  ' if finding.ok else 'NO  '} {finding.what}"
                + (f"\n     fix: {finding.fix}" if finding.fix else "")
            )
    if not all(finding.ok for finding in found):
        raise typer.Exit(1)


@app.command("app")
@refusing
def open_app(
    host: Host = "127.0.0.1", port: Port = 8501, allow_remote: Remote = False, allowed_host: Allowed = None
) -> None:
    """Open the app in this machine's browsers, or, asked twice, to other machines."""
    from poolsearch.app.serve import serve as start_app

    raise typer.Exit(start_app(host, port, allow_remote, allowed_host or ()))


@app.command(hidden=True)
@refusing
def serve(
    host: Host = "127.0.0.1", port: Port = 8501, allow_remote: Remote = False, allowed_host: Allowed = None
) -> None:
    """Open the app, under the name that this command had before."""
    say("The command is 'app' now: 'serve' opens the app too, for the time being.", error=True)
    open_app(host, port, allow_remote, allowed_host)
