"""Figures that show themselves: in notebooks, and in the HTML that is made of these."""

import base64
import gzip
import json
import uuid
from functools import cache
from importlib.resources import files
from typing import Any, Final

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

CONFIG: Final = {
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "modeBarButtons": [["toImage", "pan2d", "zoom2d", "resetScale2d"]],
}
"""What is shown stays with who has it: Plotly would offer to upload it. Few buttons, since they lie on the legend."""
PLOTLY_MIME: Final = "application/vnd.plotly.v1+json"


class Figure(go.Figure):  # type: ignore[misc]  # Plotly has no types
    """A Plotly figure without the button that uploads it, which is also there in what nbconvert makes of a notebook.

    Plotly's own has only a format that Jupyter's and VS Code's extensions draw, and nothing else does.
    """

    _ipython_display_ = None
    """Plotly's would come before the bundle."""

    def show(self, *arguments: Any, **options: Any) -> None:
        """As Plotly's."""
        super().show(*arguments, **{"config": CONFIG, **options})

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, Any]:
        """For the extensions that know Plotly, and for browsers."""
        shown = {**json.loads(self.to_json()), "config": CONFIG}
        name, code = f"figure-{uuid.uuid4().hex}", files("tapeline.report").joinpath("figure.js").read_text(encoding="utf-8")
        place = f'<div id="{name}" style="height:{self.layout.height or 450}px"></div>'
        return {PLOTLY_MIME: shown, "text/html": f'{place}<script>({code})("{name}", "{_packed()}", {script_json(shown)})</script>'}


def script_json(value: Any) -> str:
    """JSON inside a script element: nothing in it ends the element."""
    return escaped(json.dumps(value, ensure_ascii=False, allow_nan=False))


def escaped(text: str) -> str:
    """The same of JSON that is text."""
    return text.replace("<", "\\u003c")


@cache
def _packed() -> str:
    """Plotly's script, as gzip in base64: 2 MB where it has 5."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
