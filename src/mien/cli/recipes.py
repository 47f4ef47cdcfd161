"""mien recipes: the built-in recipes, and each in full."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.console import JsonOption, say, table

app = typer.Typer(help="List the recipes, or show one resolved.", invoke_without_command=True)


@app.callback()
def list_recipes(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the recipes, or show one resolved."""
    if context.invoked_subcommand:
        return
    from mien.recipes.recipe import Recipe, names

    recipes = [Recipe.load(name) for name in names()]
    if as_json:
        import json

        say(json.dumps([recipe.model_dump(mode="json") for recipe in recipes], indent=2))
        return
    rows = [[recipe.name, recipe.describe, _expected(recipe.expected.accuracy)] for recipe in recipes]
    table("recipes", ["name", "what it is", "study's accuracy (pooled test)"], rows, texts=2)
    say("one in full: mien recipes show NAME; train it: mien train NAME --data PATH --out runs/NAME")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Recipe name or .yaml file.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print one recipe with everything that it extends resolved."""
    from mien.recipes.recipe import Recipe

    recipe = Recipe.load(name, settings or [])
    say(recipe.model_dump_json(indent=2) if as_json else recipe.to_yaml().rstrip())


def _expected(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{accuracy:.3f}"
